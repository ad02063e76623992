/// Sends in the background, in order per lane, so that compute never waits for the network.
///
/// What a lane may hold is bounded by the schedule: a stage has only so many micro-batches in flight. The first failure
/// is reported once; what follows it is dropped.
package final class SendQueues<Lane: Hashable & Sendable, Message: Sendable>: Sendable {
    private let state: State

    /// `send` suspends while the other end reads slowly.
    package init(
        send: @escaping @Sendable (Lane, Message) async throws -> Void,
        onFailure: @escaping @Sendable (Lane, any Error) -> Void
    ) {
        state = State(send: send, onFailure: onFailure)
    }

    /// Queues a message behind those of its lane.
    package func enqueue(_ message: Message, on lane: Lane) async { await state.enqueue(message, on: lane) }

    /// Waits until everything queued so far is handed to the network.
    package func drain() async { await state.drain() }

    /// Stops all lanes; queued messages are dropped.
    package func close() async { await state.close() }

    private actor State {
        let send: @Sendable (Lane, Message) async throws -> Void
        let onFailure: @Sendable (Lane, any Error) -> Void
        var lanes: [Lane: [Message]] = [:]
        var workers: [Lane: Task<Void, Never>] = [:]
        var hasFailed = false

        init(
            send: @escaping @Sendable (Lane, Message) async throws -> Void,
            onFailure: @escaping @Sendable (Lane, any Error) -> Void
        ) {
            self.send = send
            self.onFailure = onFailure
        }

        func enqueue(_ message: Message, on lane: Lane) {
            guard !hasFailed else { return }
            lanes[lane, default: []].append(message)
            if workers[lane] == nil { workers[lane] = Task { await self.work(lane) } }
        }

        private func work(_ lane: Lane) async {
            while !hasFailed, let message = lanes[lane]?.first {
                lanes[lane]?.removeFirst()
                do { try await send(lane, message) } catch {
                    guard !hasFailed else { break }
                    hasFailed = true
                    lanes = [:]
                    onFailure(lane, error)
                }
            }
            workers[lane] = nil
        }

        func drain() async {
            while let worker = workers.values.first { await worker.value }
        }

        func close() {
            hasFailed = true
            lanes = [:]
            for worker in workers.values { worker.cancel() }
        }
    }
}
