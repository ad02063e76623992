internal import NIOCore
internal import Primitives
internal import Synchronization

/// Connects to the first of several addresses that answers (Happy Eyeballs, RFC 8305, section 5): the next attempt begins
/// a quarter of a second after the last or when one has failed, and whoever comes second is closed.
///
/// A record lists what a peer knows of itself, in a home network an address that means another machine, or none, elsewhere;
/// one after the other, each such address would cost the time-out of a connection.
struct AddressRace: Sendable {
    /// Pause between two attempts.
    let stagger: Duration
    /// Makes one attempt; when cancelled it ends soon.
    let connect: @Sendable (NetworkAddress) async throws -> any Channel

    /// Why none of the addresses answered: what the last of them said.
    struct Failure: Error, CustomStringConvertible {
        let address: NetworkAddress
        let underlying: any Error

        var description: String { "\(address): \(underlying)" }
    }

    private enum Event: Sendable {
        case connected(any Channel, NetworkAddress)
        case failed(Failure)
        case paused(after: Int)
    }

    /// The first connection, and where it leads. `addresses` must not be empty.
    func run(_ addresses: [NetworkAddress]) async throws -> (channel: any Channel, address: NetworkAddress) {
        try await withThrowingTaskGroup(of: Event.self) { group in
            var (begun, running) = (0, 0)
            func begin() {
                guard begun < addresses.count else { return }
                let (address, number) = (addresses[begun], begun)
                begun += 1
                running += 1
                group.addTask {
                    do { return .connected(try await connect(address), address) } catch {
                        return .failed(Failure(address: address, underlying: error))
                    }
                }
                guard begun < addresses.count else { return }
                group.addTask {
                    // Cancelled, because the race is over, a pause ends early.
                    try? await Task.sleep(for: stagger)
                    return .paused(after: number)
                }
            }
            begin()
            var last: Failure?
            while let event = try await group.next() {
                switch event {
                case .connected(let channel, let address):
                    group.cancelAll()
                    while let late = try await group.next() {
                        if case .connected(let other, _) = late { other.close(promise: nil) }
                    }
                    return (channel, address)
                case .failed(let failure):
                    running -= 1
                    last = failure
                    begin()
                case .paused(let number): if number == begun - 1 { begin() }
                }
                if running == 0, begun == addresses.count, let last { throw last }
            }
            throw CancellationError()
        }
    }
}

/// Closes a channel that is being connected when its task is cancelled.
final class ConnectingChannel: Sendable {
    private let state = Mutex<(channel: (any Channel)?, isCancelled: Bool)>((nil, false))

    /// Called when the channel exists, before it connects.
    func set(_ new: any Channel) {
        let isCancelled = state.withLock { state in
            state.channel = new
            return state.isCancelled
        }
        if isCancelled { new.close(promise: nil) }
    }

    func cancel() {
        let channel = state.withLock { state in
            state.isCancelled = true
            return state.channel
        }
        channel?.close(promise: nil)
    }
}
