package import Primitives

/// Decides when a peer's links are published again, so that all peers' graphs become equal and stay equal when nothing
/// happens: new links go out together once measuring has come to rest, changed figures only if the change matters, and
/// then seldom.
package struct LinkPublisher: Sendable {
    /// When to publish. The thresholds are guesses that keep 16 busy processes on 2 cores quiet.
    package struct Policy: Hashable, Sendable {
        /// A new link waits this long for others to be measured, if measuring goes on.
        package var patience: Duration = .seconds(3)
        /// ... and so much longer for each member: a publication costs every member a datagram, and measuring everybody's
        /// partners takes longer in a large swarm. 1,000 members wait 23 s.
        package var patiencePerMember: Duration = .milliseconds(20)
        /// Least time between two publications of changed figures.
        package var interval: Duration = .seconds(30)
        /// A figure must change by this share of itself ...
        package var relativeChange = 0.25
        /// a bandwidth by this one: with less the two ends of a link, of which one publishes a little earlier, seldom seem to
        /// disagree (`LinkConsensus.toleratedDifference`),
        package var bandwidthChange = 0.14
        /// ... and by this much: round trips,
        package var roundTripFloor: Duration = .milliseconds(2)
        /// jitter (which must also double or halve),
        package var jitterFloor: Duration = .milliseconds(10)
        /// and loss.
        package var lossFloor = 0.05

        package init() {}
    }

    /// A page to publish.
    package struct Page: Hashable, Sendable {
        package var index: UInt8
        package var value: LinksPage
    }

    /// Most pages of one peer.
    package static let maximumPages = 4

    private let policy: Policy
    private var slots: [LinkReport?] = []
    private var firstNews: Instant?
    private var lastPublication: Instant?

    package init(policy: Policy = Policy()) { self.policy = policy }

    /// When `publish` should be called again, as of its last call.
    package private(set) var nextCheck: Instant?

    /// The report that was last published of the link to the peer with this prefix.
    package func published(_ prefix: UInt64) -> LinkReport? {
        slots.first { $0?.prefix == prefix }.flatMap { $0 }
    }

    /// The pages to publish now.
    ///
    /// - Parameters:
    ///   - current: The present figures of all links worth publishing, in a reproducible order.
    ///   - isMeasuring: Whether links that were never measured are about to be.
    ///   - members: Live members, to all of whom a publication goes.
    package mutating func publish(
        _ current: [LinkReport], isMeasuring: Bool, members: Int = 0, at now: Instant
    ) -> [Page] {
        let patience = policy.patience + policy.patiencePerMember * members
        let current = current.map(\.quantised)
        var hasNews = false
        var changed = false
        for report in current {
            guard let old = published(report.prefix) else {
                hasNews = true
                continue
            }
            if old.confidence == .roundTripOnly, report.confidence > .roundTripOnly { hasNews = true }
            if isSignificant(old, report) { changed = true }
        }
        firstNews = hasNews ? firstNews ?? now : nil
        if let firstNews, !isMeasuring || now >= firstNews + patience {
            return publishAll(current, at: now)
        }
        if changed, lastPublication.map({ now >= $0 + policy.interval }) ?? true {
            return publishAll(current, at: now)
        }
        let rest = Duration.seconds(isMeasuring ? 1 : 10)
        nextCheck = min(now + rest, firstNews.map { $0 + patience } ?? now + rest)
        return []
    }

    /// Fills the slots and gives the pages whose bytes are worth a new version.
    private mutating func publishAll(_ current: [LinkReport], at now: Instant) -> [Page] {
        firstNews = nil
        lastPublication = now
        nextCheck = now + .seconds(10)
        var touched = [Bool](repeating: false, count: Self.maximumPages)
        var homeless: [LinkReport] = []
        var fresh: [LinkReport?] = Array(repeating: nil, count: slots.count)
        for report in current {
            if let slot = slots.firstIndex(where: { $0?.prefix == report.prefix }) {
                if let old = slots[slot], !isSignificant(old, report), old.confidence >= report.confidence {
                    // What the other end holds back, too: with it in only one of their pages the two would seem to disagree.
                    fresh[slot] = old
                } else {
                    fresh[slot] = report
                    touched[slot / LinksPage.capacity] = true
                }
            } else {
                homeless.append(report)
            }
        }
        // Links to peers that are gone give way only when their place is needed: their removal alone is no news.
        for report in homeless {
            let slot: Int
            if let free = fresh.firstIndex(where: { $0 == nil }) {
                slot = free
            } else if fresh.count < Self.maximumPages * LinksPage.capacity {
                slot = fresh.count
                fresh.append(nil)
            } else {
                break
            }
            fresh[slot] = report
            touched[slot / LinksPage.capacity] = true
        }
        var pages: [Page] = []
        for index in 0..<Self.maximumPages where touched[index] {
            let range = (index * LinksPage.capacity)..<min((index + 1) * LinksPage.capacity, fresh.count)
            for slot in range {
                if slot < slots.count { slots[slot] = fresh[slot] } else { slots.append(fresh[slot]) }
            }
            let reports = slots[range].compactMap { $0 }.sorted { $0.prefix < $1.prefix }
            pages.append(Page(index: UInt8(index), value: LinksPage(reports: reports)))
        }
        return pages
    }

    /// Whether a link's figures differ enough to bother the whole swarm.
    package func isSignificant(_ old: LinkReport, _ new: LinkReport) -> Bool {
        func differs(_ left: Double, _ right: Double, share: Double, floor: Double) -> Bool {
            let difference = abs(left - right)
            return difference > floor && difference > share * min(abs(left), abs(right))
        }
        return differs(
            old.minimumRoundTrip.seconds, new.minimumRoundTrip.seconds, share: policy.relativeChange,
            floor: policy.roundTripFloor.seconds)
            || differs(old.jitter.seconds, new.jitter.seconds, share: 1, floor: policy.jitterFloor.seconds)
            || differs(old.loss, new.loss, share: policy.relativeChange, floor: policy.lossFloor)
            || differs(
                old.receiveBandwidth.bytesPerSecond, new.receiveBandwidth.bytesPerSecond,
                share: policy.bandwidthChange, floor: 0)
            || differs(
                old.sendBandwidth.bytesPerSecond, new.sendBandwidth.bytesPerSecond, share: policy.bandwidthChange,
                floor: 0)
    }
}
