internal import Foundation

/// A serial executor that owns one operating-system thread, for heavy compute.
///
/// Compute must never run on an event loop (it would delay packets) or on the cooperative pool (it would starve every
/// other task of the process), so a stage's actor is given this executor.
package final class ComputeThread: SerialExecutor {
    private let queue = JobQueue()

    /// Starts the thread; it ends when the executor is released.
    package init(name: String) {
        let queue = queue
        let thread = Thread { queue.run() }
        thread.name = name
        thread.stackSize = 8 << 20
        thread.start()
        queue.adopt(executor: self)
    }

    deinit { queue.close() }

    package func enqueue(_ job: consuming ExecutorJob) { queue.append(UnownedJob(job)) }
}

/// The jobs of one thread.
// Proof for @unchecked: every access to the mutable state happens while `condition` is locked.
private final class JobQueue: @unchecked Sendable {
    private let condition = NSCondition()
    private var jobs: [UnownedJob] = []
    private var closed = false
    private var executor: UnownedSerialExecutor?

    func adopt(executor: ComputeThread) {
        condition.withLock { self.executor = executor.asUnownedSerialExecutor() }
    }

    func append(_ job: UnownedJob) {
        condition.lock()
        jobs.append(job)
        condition.signal()
        condition.unlock()
    }

    func close() {
        condition.lock()
        closed = true
        condition.signal()
        condition.unlock()
    }

    /// The thread's loop.
    func run() {
        while true {
            condition.lock()
            while jobs.isEmpty, !closed { condition.wait() }
            let batch = jobs
            let executor = executor
            jobs.removeAll(keepingCapacity: true)
            condition.unlock()
            guard !batch.isEmpty, let executor else { return }
            for job in batch { job.runSynchronously(on: executor) }
        }
    }
}
