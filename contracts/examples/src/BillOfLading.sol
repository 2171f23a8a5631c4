// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Bills of lading for containers at sea: who holds the bill holds the goods.
/// @notice A carrier issues a bill to a shipper, the holder endorses it to the next one, the carrier reports where the containers
/// are, and whoever holds the bill surrenders it for them at the end. Parties of one shipment must not learn of another's, and a former
/// holder no more than what he knew: with `policies/bill-of-lading.json` each asks in his own name, and is told while he is a party.
contract BillOfLading {
    enum Stage {
        None,
        Issued,
        Loaded,
        Discharged,
        Surrendered
    }

    struct Bill {
        address carrier;
        address shipper;
        address holder;
        Stage stage;
        uint64 issuedAt;
        bytes32 vessel;
        bytes32 portOfLoading;
        bytes32 portOfDischarge;
        /// Container numbers (ISO 6346), eleven characters each.
        bytes11[] containers;
        /// Of what is inside; the description itself may stay on paper.
        bytes32 cargoHash;
    }

    uint256 public constant MAX_CONTAINERS = 64;

    mapping(bytes32 number => Bill) private bills;

    event BillIssued(bytes32 indexed number, address indexed carrier, address indexed shipper);
    event BillEndorsed(bytes32 indexed number, address indexed from, address indexed to);
    event StageReached(bytes32 indexed number, address indexed carrier, address indexed holder, Stage stage);

    error NumberTaken();
    error NoContainers();
    error TooManyContainers();
    error BadContainer(bytes11 container);
    error NotCarrier();
    error NotHolder();
    error NotParty();
    error WrongStage(Stage stage);
    error NobodyToEndorseTo();

    /// What a carrier writes on a bill.
    struct Shipment {
        address shipper;
        bytes32 vessel;
        bytes32 portOfLoading;
        bytes32 portOfDischarge;
        bytes11[] containers;
        bytes32 cargoHash;
    }

    /// @notice Issues a bill; the caller is its carrier, and the shipper its first holder.
    function issue(bytes32 number, Shipment calldata shipment) external {
        if (bills[number].stage != Stage.None) revert NumberTaken();
        if (shipment.shipper == address(0)) revert NobodyToEndorseTo();
        if (shipment.containers.length == 0) revert NoContainers();
        if (shipment.containers.length > MAX_CONTAINERS) revert TooManyContainers();
        for (uint256 i = 0; i < shipment.containers.length; i++) {
            if (!isContainer(shipment.containers[i])) revert BadContainer(shipment.containers[i]);
        }
        bills[number] = Bill({
            carrier: msg.sender,
            shipper: shipment.shipper,
            holder: shipment.shipper,
            stage: Stage.Issued,
            issuedAt: uint64(block.timestamp),
            vessel: shipment.vessel,
            portOfLoading: shipment.portOfLoading,
            portOfDischarge: shipment.portOfDischarge,
            containers: shipment.containers,
            cargoHash: shipment.cargoHash
        });
        emit BillIssued(number, msg.sender, shipment.shipper);
    }

    /// @notice Hands a bill, and with it the goods, to somebody else.
    function endorse(bytes32 number, address to) external {
        Bill storage bill = bills[number];
        if (msg.sender != bill.holder) revert NotHolder();
        if (bill.stage == Stage.Surrendered) revert WrongStage(bill.stage);
        if (to == address(0)) revert NobodyToEndorseTo();
        bill.holder = to;
        emit BillEndorsed(number, msg.sender, to);
    }

    /// @notice Reports that the containers are on board.
    function load(bytes32 number) external {
        _reach(number, Stage.Issued, Stage.Loaded);
    }

    /// @notice Reports that the containers are ashore at the port of discharge.
    function discharge(bytes32 number) external {
        _reach(number, Stage.Loaded, Stage.Discharged);
    }

    /// @notice Gives the bill back for the goods; it is worth nothing from then on.
    function surrender(bytes32 number) external {
        Bill storage bill = bills[number];
        if (msg.sender != bill.holder) revert NotHolder();
        if (bill.stage != Stage.Discharged) revert WrongStage(bill.stage);
        bill.stage = Stage.Surrendered;
        emit StageReached(number, bill.carrier, msg.sender, Stage.Surrendered);
    }

    /// @notice A bill, for a party to it: its carrier, shipper or holder. The policy admits whoever is `viewer`.
    function billFor(address viewer, bytes32 number) external view returns (Bill memory) {
        Bill memory bill = bills[number];
        // The same error where there is no such bill: nobody finds out which numbers are taken.
        if (viewer == address(0) || (viewer != bill.carrier && viewer != bill.shipper && viewer != bill.holder)) {
            revert NotParty();
        }
        return bill;
    }

    /// @notice A bill, for auditors and customs.
    function inspect(bytes32 number) external view returns (Bill memory) {
        return bills[number];
    }

    /// @notice Whether this is a container number: four letters, seven digits, the last of which checks the rest (ISO 6346).
    function isContainer(bytes11 number) public pure returns (bool) {
        uint256 sum = 0;
        for (uint256 i = 0; i < 10; i++) {
            uint256 character = uint8(number[i]);
            uint256 value;
            if (i < 4) {
                if (character < 0x41 || character > 0x5a) return false;
                // A is 10; multiples of eleven are left out.
                value = character - 0x41 + 10;
                value += (value - 1) / 10;
            } else {
                if (character < 0x30 || character > 0x39) return false;
                value = character - 0x30;
            }
            sum += value << i;
        }
        return uint8(number[10]) == 0x30 + (sum % 11) % 10;
    }

    function _reach(bytes32 number, Stage from, Stage to) private {
        Bill storage bill = bills[number];
        if (msg.sender != bill.carrier) revert NotCarrier();
        if (bill.stage != from) revert WrongStage(bill.stage);
        bill.stage = to;
        emit StageReached(number, msg.sender, bill.holder, to);
    }
}
