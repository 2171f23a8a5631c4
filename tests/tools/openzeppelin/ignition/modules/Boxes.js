// A beacon, a proxy behind it, and a call to each: what a deployment with Ignition is made of.
const { buildModule } = require("@nomicfoundation/hardhat-ignition/modules");

module.exports = buildModule("Boxes", (m) => {
  const owner = m.getAccount(0);
  const first = m.contract("Box", [], { id: "First" });
  const beacon = m.contract("UpgradeableBeacon", [first, owner]);
  const start = m.encodeFunctionCall(first, "initialize", [m.getParameter("start", 42n)]);
  const proxy = m.contract("BeaconProxy", [beacon, start]);
  const second = m.contract("BoxV2", [], { id: "Second" });
  const upgraded = m.call(beacon, "upgradeTo", [second]);
  const implementation = m.readEventArgument(upgraded, "Upgraded", "implementation");
  const box = m.contractAt("BoxV2", proxy, { id: "Box", after: [upgraded] });
  m.call(box, "initializeV2", [7n], { after: [upgraded] });
  const registry = m.contract("Registry", [3600n, owner]);
  m.call(registry, "grantRole", [m.staticCall(registry, "WRITER"), implementation]);
  return { beacon, box, registry, second };
});
