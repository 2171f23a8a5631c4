// Two contracts, one after the other.
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

export default buildModule("Pair", (m) => {
  const first = m.contract("Token", ["First", "ONE", 1000n]);
  const second = m.contract("Token", ["Second", "TWO", 1000n], { id: "Second", after: [first] });
  return { first, second };
});
