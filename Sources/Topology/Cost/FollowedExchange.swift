/// An exchange that is followed transfer by transfer, so that it tells which slices make it end later.
protocol FollowedExchange {
    associatedtype Record: ExchangeRecord

    /// Runs the exchange and records how.
    ///
    /// - Parameter slices: by piece and peer.
    func record(_ slices: [[Double]], _ record: inout Record)

    /// By piece and peer: how many seconds later an exchange ends for each part of its slice that is added, where all that
    /// arrives near the end counts: with weight exp(−`sharpness` × how much sooner it arrives).
    func prices(_ record: Record, _ slices: [[Double]], sharpness: Double) -> [[Double]]
}

/// What a run leaves behind.
protocol ExchangeRecord {
    init()

    /// When the last peer has stepped, and when the first has begun to send.
    var end: Double { get }
    var begin: Double { get }
}
