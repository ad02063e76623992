/// Transfers where no access link is shared: every directed pair is a queue by itself, so the end of a transfer is known
/// when it is sent.
struct DirectNetwork {
    private let tables: CostTables
    private var channelOfPair: [Int: Int] = [:]
    private var channels: [IterationTrace.Link] = []
    private var freeAt: [Double] = []

    init(tables: CostTables) { self.tables = tables }

    /// Sends bytes after all that the pair has been given before; returns when they have arrived.
    mutating func send(_ bytes: Double, from source: Int, to target: Int, at time: Double) -> Double {
        let pair = source * tables.peers + target
        let index: Int
        if let known = channelOfPair[pair] {
            index = known
        } else {
            index = channels.count
            channelOfPair[pair] = index
            channels.append(IterationTrace.Link(source: source, target: target, bytes: 0, busySeconds: 0))
            freeAt.append(0)
        }
        let seconds = bytes * tables.secondsPerByte[pair]
        freeAt[index] = max(time, freeAt[index]) + seconds
        channels[index].bytes += bytes
        channels[index].busySeconds += seconds
        return freeAt[index] + tables.latency[pair]
    }

    /// Every pair that carried anything, in the order of first use.
    var usage: [IterationTrace.Link] { channels }
}
