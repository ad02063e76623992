import Primitives
import Wire

/// When the links are told to the swarm.
extension Probing {
    /// Whether partners that can be expected to answer were never measured.
    func isMeasuring(at now: Instant) -> Bool {
        // Partners that are still to be chosen are links to come, too.
        if memberCount >= PartnerSelection.allPairsMembers, neighbours.isEmpty { return true }
        return partners.contains { peer in
            guard let link = links[peer], link.measuredAt == nil, link.failures < 3 else { return false }
            // Without bandwidth sessions the first echoes are all that there is to wait for.
            let wait = configuration.measuresBandwidth ? .seconds(20) : configuration.firstEchoInterval * 5
            return now < link.since + wait
        }
    }

    mutating func notePublication(at deadline: Instant) {
        publicationDeadline = publicationDeadline.map { min($0, deadline) } ?? deadline
    }

    mutating func publish(at now: Instant, _ effects: inout [Effect]) {
        let measuring = isMeasuring(at: now)
        let reports = linkOrder.compactMap { peer -> LinkReport? in
            guard let link = links[peer], link.measuredAt != nil || !measuring || now > link.since + .seconds(2) else {
                return nil
            }
            guard var report = link.report(of: peer) else { return nil }
            guard let rate = publishedRate(link, at: now) ?? publisher.published(peer.prefix)?.sendBandwidth else {
                return nil
            }
            report.sendBandwidth = rate
            return report
        }
        for page in publisher.publish(reports, isMeasuring: measuring, members: memberCount, at: now) {
            effects.append(.publishLinks(page: page.index, value: page.value.wireBytes))
        }
        publicationDeadline = publisher.nextCheck ?? now + .seconds(10)
    }
}
