import Overlay
import Primitives
import Wire

/// What a lying member does besides running the protocol. It holds the swarm's secret and a valid identity; it cannot sign for
/// others.
package enum Lie: String, Hashable, Sendable, CaseIterable, Codable {
    /// Entries, records and goodbyes of others, with signatures that do not fit.
    case forgery
    /// Others' signed words at another time and place: old entries, and their requests to join as its own.
    case replay
    /// Two values for one version of an entry, told to different peers.
    case equivocation
    /// Values longer and entries more numerous than allowed.
    case oversize
    /// Bytes that are no message, or only half of one.
    case malformed
}

/// What a liar has kept to repeat it later.
struct LiarMemory {
    var kept: [Int: SignedEntry] = [:]  // only looked up, never iterated
}

extension Simulator {
    /// Peers that hear one round of lies.
    private static var audience: Int { 6 }

    /// A running liar tells lies to some peers.
    mutating func tellLies(_ liar: Int) {
        guard let lie = peers[liar].lie, peers[liar].node != nil else { return }
        let honest = (0..<count).filter { peers[$0].lie == nil && peers[$0].node != nil }
        guard honest.count > 1 else { return }
        for turn in 0..<Self.audience {
            let target = honest[generator.index(below: honest.count)]
            let victim = honest[generator.index(below: honest.count)]
            guard target != victim else { continue }
            for message in messages(of: lie, by: liar, about: victim, turn: turn) {
                send(message, from: liar, to: target)
            }
        }
    }

    private mutating func messages(of lie: Lie, by liar: Int, about victim: Int, turn: Int) -> [[UInt8]] {
        switch lie {
        case .forgery: [forgery(of: victim)]
        case .replay: replay(of: victim)
        case .equivocation: equivocation(of: liar, turn: turn)
        case .oversize: oversize(of: liar, turn: turn)
        case .malformed: [malformed(turn: turn)]
        }
    }

    private mutating func forgery(of victim: Int) -> [UInt8] {
        let signature = (0..<IdentityKey.signatureByteCount).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        let forger = Signer(peer: identity(victim), sign: { _, _ in signature }, verify: { _, _, _, _ in false })
        let far = UInt64.max / 2
        switch generator.index(below: 3) {
        case 0:
            let entry = SignedEntry(key: .capability, version: far, value: [1, 2, 3], signer: forger)
            return GossipMessage.entry(entry).datagramBytes
        case 1:
            let record = PeerRecord(contact: peers[victim].contact, incarnation: far, signer: forger)
            return MembershipMessage.alive(record).datagramBytes
        default: return MembershipMessage.left(Farewell(incarnation: far, signer: forger)).datagramBytes
        }
    }

    private mutating func replay(of victim: Int) -> [[UInt8]] {
        guard let record = peers[victim].node?.record else { return [] }
        var messages = [MembershipMessage.join(record).datagramBytes]
        if let old = liarMemory.kept[victim] {
            messages.append(GossipMessage.entry(old).datagramBytes)
        } else {
            liarMemory.kept[victim] = peers[victim].node?.entry(of: identity(victim), .capability)
        }
        return messages
    }

    private func equivocation(of liar: Int, turn: Int) -> [[UInt8]] {
        // One version a second; half of the audience hears one value, half the other.
        let entry = SignedEntry(
            key: EntryKey(kind: EntryKey.firstExperimentalKind), version: UInt64(time.nanoseconds / 1_000_000_000) + 1,
            value: [UInt8(turn % 2)], signer: .simulated(identity(liar)))
        return [GossipMessage.entry(entry).datagramBytes]
    }

    private func oversize(of liar: Int, turn: Int) -> [[UInt8]] {
        let signer = Signer.simulated(identity(liar))
        guard turn % 2 == 0 else {
            let entry = SignedEntry(
                key: EntryKey(kind: EntryKey.firstExperimentalKind), version: 1,
                value: [UInt8](repeating: 7, count: Limits.entryDatagramValueBytes + 1), signer: signer)
            return [GossipMessage.entry(entry).datagramBytes]
        }
        // Another part of too many entries for everybody, so that everybody could keep others.
        let first = Int(time.nanoseconds / 1_000_000_000) + turn
        return (0..<(Limits.entriesPerOwner / 2)).map { number in
            let key = EntryKey(
                kind: EntryKey.firstExperimentalKind, index: UInt8(truncatingIfNeeded: first * 16 + number))
            return GossipMessage.entry(SignedEntry(key: key, version: 1, value: [1], signer: signer)).datagramBytes
        }
    }

    private mutating func malformed(turn: Int) -> [UInt8] {
        switch turn % 3 {
        case 0: (0..<(1 + generator.index(below: 200))).map { _ in UInt8(truncatingIfNeeded: generator.next()) | 0x80 }
        case 1: Array(MembershipMessage.ping(sequence: 1, viewDigest: 2).datagramBytes.dropLast())
        default: [0xFF]
        }
    }
}
