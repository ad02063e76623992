package import Primitives

/// One directed link as the two ends' reports give it together.
package struct LinkConsensus: Hashable, Sendable {
    /// Pairs whose figures for the same direction differ by more than this are flagged. The quantised figures of honest
    /// ends are equal, except while one has republished and the other has not yet.
    package static let toleratedDifference = 0.15

    /// Least round trip that either end saw; `nil` if neither did.
    package var roundTrip: Duration?
    /// The larger of the two ends' jitters.
    package var jitter: Duration
    /// The mean of the ends' losses.
    package var loss: Double
    /// The receiver's figure; what the sender was told if the receiver has published none; the lesser of both if they
    /// disagree, so that nobody can inflate a link alone; `nil` if nobody measured.
    package var bandwidth: Bandwidth?
    /// Confidence of the bandwidth.
    package var confidence: LinkReport.Confidence
    /// Whether the ends disagree about the bandwidth.
    package var isDisputed: Bool

    /// The link from `sender` to `receiver`, from the sender's report of the receiver and the receiver's of the sender.
    package init(sender: LinkReport?, receiver: LinkReport?) {
        roundTrip = [sender, receiver].compactMap(\.?.minimumRoundTrip).filter { $0 > .zero }.min()
        jitter = max(sender?.jitter ?? .zero, receiver?.jitter ?? .zero)
        let losses = [sender, receiver].compactMap(\.?.loss)
        loss = losses.isEmpty ? 0 : losses.reduce(0, +) / Double(losses.count)
        let measured = receiver.flatMap { $0.receiveBandwidth > .zero ? $0 : nil }
        let told = sender.flatMap { $0.sendBandwidth > .zero ? $0 : nil }
        bandwidth = measured?.receiveBandwidth ?? told?.sendBandwidth
        confidence = measured?.confidence ?? told?.confidence ?? .roundTripOnly
        if let one = measured?.receiveBandwidth.bytesPerSecond, let other = told?.sendBandwidth.bytesPerSecond {
            isDisputed = abs(one - other) > Self.toleratedDifference * max(one, other)
            if isDisputed { bandwidth = Bandwidth(bytesPerSecond: min(one, other)) }
        } else {
            isDisputed = false
        }
    }
}
