internal import Overlay
internal import Primitives
internal import Wire

extension FuzzTarget {
    /// A whole overlay core, fed by a member gone bad whose every signature is believed.
    static let overlayNode = FuzzTarget(
        "overlay-node", maximumByteCount: 4 * Limits.datagramBytes,
        seeds: {
            [
                OverlaySamples.membership.flatMap { framed($0.datagramBytes) },
                OverlaySamples.gossip.flatMap { framed($0.datagramBytes) },
                OverlaySamples.probing.flatMap { framed($0.datagramBytes) },
            ]
        },
        check: { bytes throws(FuzzFinding) in
            var node = OverlayNode(
                contact: FuzzSamples.contact(1), signer: FuzzSamples.signer(1), incarnation: 1_700_000_000_000, seed: 5)
            var now = Instant(nanoseconds: 1_000_000_000)
            var effects: [OverlayEffect] = []
            node.handle(.start(known: [FuzzSamples.contact(2), FuzzSamples.contact(3)]), at: now, into: &effects)
            var reader = WireReader(bytes)
            var accepted = false
            while let size = try? reader.read(UInt16.self), let datagram = try? reader.readRaw(Int(size)) {
                now = now + .milliseconds(40)
                effects = []
                node.handle(.datagram(datagram, from: FuzzSamples.peer(UInt64(size & 1) + 2)), at: now, into: &effects)
                if let deadline = node.nextDeadline, deadline <= now { node.handle(.timer, at: now, into: &effects) }
                accepted = accepted || !effects.isEmpty
                try expectModest(effects)
            }
            guard node.members.count <= Limits.members, node.snapshot.owners.count <= node.members.count else {
                throw FuzzFinding("the node holds more than it may")
            }
            return accepted
        })

    /// One datagram makes a node send datagrams that fit, and not many of them.
    private static func expectModest(_ effects: [OverlayEffect]) throws(FuzzFinding) {
        var sent = 0
        for case .send(let payload, _) in effects {
            sent += payload.count
            guard payload.count <= Limits.datagramPayloadBytes else {
                throw FuzzFinding("the node sends \(payload.count) bytes in one datagram")
            }
        }
        guard sent <= 1 << 18 else { throw FuzzFinding("one datagram made the node send \(sent) bytes") }
    }

    private static func framed(_ datagram: [UInt8]) -> [UInt8] {
        var writer = WireWriter()
        writer.write(UInt16(datagram.count))
        writer.writeRaw(datagram)
        return writer.bytes
    }
}
