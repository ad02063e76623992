import ArgumentParser
import Control
import Primitives
import Runtime
import Foundation
import Topology

/// This node at a glance.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "Show this machine's node.")

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let status = try await ControlClient(state: state.directory).status()
        guard !output.json else { return try printJSON(status) }
        let terminal = Terminal.output
        func row(_ title: String, _ value: String) {
            print(terminal.style(title.padding(toLength: 12, withPad: " ", startingAt: 0), .faint) + value)
        }
        row("peer", "\(terminal.style(status.name, .accent)) \(status.peer)")
        row("swarm", status.swarm)
        if let conflict = status.identityConflict {
            row(
                "warning",
                terminal.style(
                    "another process at \(conflict.otherAddresses.joined(separator: ", ")) uses this identity: "
                        + "stop one of the two, or start it with its own --state", .bad))
        }
        for peer in status.identitiesUsedTwice {
            row("warning", terminal.style("two processes use the identity \(peer): tell its operator", .bad))
        }
        row("running", "\(HumanText.duration(seconds: status.uptimeSeconds)), process \(status.processID)")
        row("listening", status.listenAddress + ", given to others: " + status.addresses.joined(separator: ", "))
        row("NAT", Self.natText(status))
        row("peers", "\(status.alivePeers) alive of \(status.knownPeers) known")
        row("timers", Self.timersText(status.membership))
        row(
            "graph",
            "\(status.graphDigest.prefix(10)), \(status.measuredLinks) of \(status.totalLinks) links measured")
        let machine = status.capability
        row(
            "machine",
            "\(machine.cores) cores, \(Figures.significant(machine.flopsPerSecond / 1e9)) GFLOP/s, "
                + "\(Figures.bytes(Double(machine.memoryBytes))) memory, "
                + "\(Figures.bytes(Double(machine.diskFreeBytes))) disk" + (machine.onBattery ? ", on battery" : "")
                + machine.gpus.map { ", \($0)" }.joined())
        let traffic = status.traffic
        row(
            "traffic",
            "datagrams \(Figures.bytes(Double(traffic.datagramBytesSent))) out, "
                + "\(Figures.bytes(Double(traffic.datagramBytesReceived))) in; streams "
                + "\(Figures.bytes(Double(traffic.streamBytesSent))) out, "
                + "\(Figures.bytes(Double(traffic.streamBytesReceived))) in; \(traffic.datagramsDropped) dropped")
        if let job = status.job {
            row("job", "\(job.name): \(job.role), step \(job.step) of \(job.steps)")
        }
    }

    /// How patient failure detection is, and why.
    private static func timersText(_ view: MembershipView) -> String {
        var text = view.profile
        if let near = view.nearRoundTripSeconds, let median = view.medianRoundTripSeconds,
            let far = view.farRoundTripSeconds
        {
            text += " (round trips \(Figures.seconds(near)), \(Figures.seconds(median)), \(Figures.seconds(far)))"
        }
        text += ": helpers get \(Figures.seconds(view.helperTimeoutSeconds)), suspects "
        text += "\(Figures.seconds(view.suspicionSeconds)) at least; local health "
        let score = view.localHealth
        return text + (score == 0 ? "good" : "bad by \(score) of 8: this node seems slow, and waits longer")
    }

    /// What others report of this node's address, in words.
    private static func natText(_ status: NodeStatus) -> String {
        let seen =
            status.observedAddresses.isEmpty ? "" : ", seen at " + status.observedAddresses.joined(separator: ", ")
        switch status.natKind {
        case "none": return "none: others see an address of this machine"
        case "endpoint-independent": return "endpoint-independent: all see the same address" + seen
        case "address-dependent": return "address-dependent (symmetric): each peer sees another port" + seen
        default: return "unknown: no other peer has reported yet"
        }
    }
}
