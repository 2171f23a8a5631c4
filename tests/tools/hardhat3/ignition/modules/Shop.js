// A token, and a vault that is funded and used while it is deployed.
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

export default buildModule("Shop", (m) => {
  const token = m.contract("Token", ["Shop", "SHP", m.getParameter("supply", 1000n)]);
  const vault = m.contract("Vault", [3600n], { value: 5n });
  m.call(token, "mint", [vault, 7n]);
  const deposited = m.call(vault, "deposit", ["first"], { value: 9n });
  m.call(token, "transfer", [m.getAccount(1), m.readEventArgument(deposited, "Deposited", "amount")]);
  return { token, vault };
});
