import Overlay
package import Primitives

/// A line of a run's trace, for whoever debugs a seed.
package struct TraceLine: Hashable, Sendable, CustomStringConvertible {
    package var at: Instant
    /// Who saw or did it; `nil` for what happens to the network.
    package var peer: Int?
    package var text: String

    /// Virtual seconds, peer, text; separated by tabs.
    package var description: String {
        let (seconds, rest) = at.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        let micros = String(rest / 1000)
        let padded = String(repeating: "0", count: 6 - micros.count) + micros
        return "\(seconds).\(padded)\t\(peer.map(String.init) ?? "-")\t\(text)"
    }
}

extension Simulator {
    /// Hands a line to the tracer, if there is one.
    func trace(_ peer: Int?, _ text: @autoclosure () -> String) {
        tracer?(TraceLine(at: time, peer: peer, text: text()))
    }

    func trace(_ action: Action) {
        switch action {
        case .start(let peer, let known): trace(peer, "starts, knowing \(Self.list(known))")
        case .crash(let peer): trace(peer, "crashes")
        case .restart(let peer): trace(peer, "starts again with its disk")
        case .restartEmpty(let peer, let known): trace(peer, "starts again empty, knowing \(Self.list(known))")
        case .leave(let peer): trace(peer, "leaves")
        case .pause(let peer, let duration): trace(peer, "pauses for \(Int(duration.milliseconds)) ms")
        case .partition(let partitions):
            trace(nil, partitions.isEmpty ? "partitions heal" : partitions.map(Self.text).joined(separator: "; "))
        case .setNetwork(let profile):
            trace(
                nil,
                "loss \(profile.loss), bursts \(profile.bursts.map { "\($0.badShare)" } ?? "none"), "
                    + "corruption \(profile.corruption), duplication \(profile.duplication), "
                    + "reordering \(profile.reordering)")
        case .setLoss(let loss): trace(nil, "loss \(loss)")
        case .lie(let peer): trace(peer, "lies: \(lie(peer)?.rawValue ?? "about nothing")")
        case .publish(let peer, let key, let value):
            trace(peer, "publishes \(value.count) bytes under \(key.kind).\(key.index)")
        }
    }

    func trace(_ event: OverlayEvent, of peer: Int) {
        func name(_ other: PeerID) -> String { index(of: other).map(String.init) ?? other.short }
        switch event {
        case .joined(let members): trace(peer, "has joined \(members)")
        case .memberUp(let other): trace(peer, "up \(name(other))")
        case .memberSuspected(let other, let accuser):
            trace(peer, "suspects \(name(other)), accused by \(name(accuser))")
        case .memberDown(let other): trace(peer, "down \(name(other))")
        case .memberLeft(let other): trace(peer, "left \(name(other))")
        case .refuted(let accuser): trace(peer, "refutes \(name(accuser))")
        case .identityConflict(let incarnation, _): trace(peer, "identity conflict at \(incarnation)")
        case .equivocation(let owner, let key): trace(peer, "equivocation of \(name(owner)), \(key.kind).\(key.index)")
        case .publishRefused(let key, let bytes): trace(peer, "refuses \(bytes) bytes under \(key.kind).\(key.index)")
        default: break
        }
    }

    private static func list(_ peers: [Int]) -> String {
        peers.prefix(8).map(String.init).joined(separator: " ") + (peers.count > 8 ? " ..." : "")
    }

    private static func text(_ partition: Partition) -> String {
        let count = partition.isInside.count
        let inside = (0..<count).filter { partition.isInside[$0] }
        let outside = (0..<count).filter { !partition.isInside[$0] }
        let (name, side) = inside.count <= outside.count ? ("inside", inside) : ("outside", outside)
        return "partition \(partition.direction), \(name) \(side.map(String.init).joined(separator: " "))"
    }
}
