package import Primitives

/// Messages of one job that wait for its worker.
///
/// Bounded per lane: a depositor whose lane is full is suspended, its stream is not read any further, and so a slow
/// stage slows its senders down instead of filling memory. Lanes are independent: a full lane of activations cannot
/// hold up the gradient that the worker needs in order to go on.
package actor JobMailbox<Message: Sendable> {
    /// One message and who sent it.
    package struct Delivery: Sendable {
        package let from: PeerID
        package let message: Message
        fileprivate let lane: Int
    }

    private let capacityPerLane: Int
    private var queue: [Delivery] = []
    private var occupied: [Int: Int] = [:]
    private var depositors: [Int: [CheckedContinuation<Void, Never>]] = [:]
    private var reader: CheckedContinuation<Delivery?, Never>?
    private var isClosed = false

    package init(capacityPerLane: Int) { self.capacityPerLane = capacityPerLane }

    /// Adds a message, waiting for room; after `close` the message is dropped.
    package func deposit(_ message: Message, from peer: PeerID, lane: Int) async {
        while !isClosed, occupied[lane, default: 0] >= capacityPerLane {
            await withCheckedContinuation { depositors[lane, default: []].append($0) }
        }
        guard !isClosed else { return }
        let delivery = Delivery(from: peer, message: message, lane: lane)
        if let reader {
            self.reader = nil
            reader.resume(returning: delivery)
        } else {
            occupied[lane, default: 0] += 1
            queue.append(delivery)
        }
    }

    /// The next message, or `nil` once the mailbox is closed. One reader at a time.
    package func next() async -> Delivery? {
        if isClosed { return nil }
        if queue.isEmpty { return await withCheckedContinuation { reader = $0 } }
        let delivery = queue.removeFirst()
        occupied[delivery.lane, default: 1] -= 1
        if let waiting = depositors[delivery.lane]?.first {
            depositors[delivery.lane]?.removeFirst()
            waiting.resume()
        }
        return delivery
    }

    /// The next message if one is waiting already.
    package func nextIfWaiting() async -> Delivery? { queue.isEmpty ? nil : await next() }

    /// Ends the job: the reader gets `nil`, depositors go on and what they bring is dropped.
    package func close() {
        isClosed = true
        queue = []
        reader?.resume(returning: nil)
        reader = nil
        for lane in depositors.keys.sorted() {
            for waiting in depositors[lane] ?? [] { waiting.resume() }
        }
        depositors = [:]
    }
}
