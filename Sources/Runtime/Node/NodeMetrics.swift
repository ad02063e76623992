internal import Metrics
internal import Noise
internal import Primitives

/// A node's figures for whoever scrapes `/metrics`: taken at a scrape from the counters that `weft status` shows, so that
/// neither a packet nor an idle node pays for them.
struct NodeMetrics {
    /// What is sampled at one instant.
    struct Sample {
        var status: NodeStatus
        var sessions: SessionCounters
        var streams: [StreamCounters]
    }

    private let alivePeers = Meter(label: "weft.peers.alive")
    private let knownPeers = Meter(label: "weft.peers.known")
    private let measuredLinks = Meter(label: "weft.links.measured")
    private let totalLinks = Meter(label: "weft.links")
    private let uptime = Meter(label: "weft.uptime.seconds")
    private let jobStep = Meter(label: "weft.job.step")
    private let jobLoss = Meter(label: "weft.job.loss")
    private let datagramsSent = Counter(label: "weft.datagram.bytes.sent")
    private let datagramsReceived = Counter(label: "weft.datagram.bytes.received")
    private let drops = SessionDrop.allCases.map {
        Counter(label: "weft.datagrams.dropped", dimensions: [("reason", "\($0)")])
    }
    private let streamsSent = TrafficClass.allCases.map {
        Counter(label: "weft.stream.bytes.sent", dimensions: [("class", "\($0)")])
    }
    private let streamsReceived = TrafficClass.allCases.map {
        Counter(label: "weft.stream.bytes.received", dimensions: [("class", "\($0)")])
    }
    /// The totals last told, by the counter's position in the order of `update`.
    private var told: [UInt64] = []

    /// Brings all metrics up to date.
    mutating func record(_ sample: Sample) {
        let status = sample.status
        alivePeers.set(status.alivePeers)
        knownPeers.set(status.knownPeers)
        measuredLinks.set(status.measuredLinks)
        totalLinks.set(status.totalLinks)
        uptime.set(status.uptimeSeconds)
        jobStep.set(status.job?.step ?? 0)
        if let loss = status.job?.loss { jobLoss.set(loss) }

        var totals = [
            (datagramsSent, status.traffic.datagramBytesSent),
            (datagramsReceived, status.traffic.datagramBytesReceived),
        ]
        for (drop, counter) in zip(SessionDrop.allCases, drops) { totals.append((counter, sample.sessions[drop])) }
        for (position, trafficClass) in TrafficClass.allCases.enumerated() {
            let links = sample.streams.filter { $0.trafficClass == trafficClass }
            totals.append((streamsSent[position], links.reduce(0) { $0 + $1.bytesSent }))
            totals.append((streamsReceived[position], links.reduce(0) { $0 + $1.bytesReceived }))
        }
        if told.isEmpty { told = Array(repeating: 0, count: totals.count) }
        for (position, (counter, total)) in totals.enumerated() {
            // A closed stream takes its share of a total with it; a counter never goes back.
            if total > told[position] { counter.increment(by: Int64(clamping: total - told[position])) }
            told[position] = total
        }
    }
}
