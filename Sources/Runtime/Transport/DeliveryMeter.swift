package import Overlay
package import Primitives

/// Turns the counters of streams into samples of what they carried to each peer.
package struct DeliveryMeter: Sendable {
    /// What the streams to one peer have done.
    package struct Progress: Sendable {
        package var peer: PeerID
        /// Bytes handed to connections so far.
        package var bytes: UInt64
        /// Since when some stream has always had something to send; `nil` if none has.
        package var saturatedSince: Instant?
    }

    private var last: [PeerID: UInt64] = [:]  // only looked up, never iterated
    private var lastAt: Instant?

    package init() {}

    /// The samples since the last call: of peers to which something was sent. One whose streams are often idle has samples that
    /// are not saturated.
    package mutating func take(_ progress: [Progress], at now: Instant) -> [(peer: PeerID, sample: DeliverySample)] {
        defer {
            last = Dictionary(progress.map { ($0.peer, $0.bytes) }, uniquingKeysWith: max)
            lastAt = now
        }
        var samples: [(peer: PeerID, sample: DeliverySample)] = []
        for item in progress {
            let before = last[item.peer] ?? 0
            // A connection made anew counts from nothing.
            guard let lastAt, item.bytes >= before, item.bytes > before || item.saturatedSince != nil else { continue }
            let isSaturated = item.saturatedSince.map { $0 <= lastAt } ?? false
            samples.append(
                (
                    item.peer,
                    DeliverySample(bytes: item.bytes - before, duration: now - lastAt, isSaturated: isSaturated)
                ))
        }
        return samples
    }
}
