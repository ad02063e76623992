internal import Compute
package import Pipeline
package import Primitives
internal import Synchronization

/// What has been reached so far, turned into events for the person who watches. One job, whatever its attempts.
package final class JobProgress: Sendable {
    private struct State {
        var stepsDone = 0
        var loss: Float = .nan
        var validationLoss: Double?
    }

    private let spec: JobSpec
    private let start: Instant
    private let unigramLoss: Double?
    private let state = Mutex(State())

    package init(spec: JobSpec, start: Instant, unigramLoss: Double?) {
        self.spec = spec
        self.start = start
        self.unigramLoss = unigramLoss
    }

    /// The event of a finished step, `number` counted from 0.
    package func step(
        _ number: UInt64, loss: Float, elapsed: Duration, predicted: Double?
    ) -> TrainEvent.Step {
        state.withLock {
            $0.stepsDone = Int(number) + 1
            $0.loss = loss
        }
        let seconds = max(elapsed.seconds, 1e-9)
        return TrainEvent.Step(
            step: Int(number) + 1, steps: Int(spec.steps), loss: loss,
            learningRate: spec.learningRates.rate(at: Int(number)),
            tokensPerSecond: Double(spec.tokensPerStep) / seconds, iterationSeconds: seconds,
            predictedIterationSeconds: predicted)
    }

    /// The event of a validation.
    package func validation(_ number: UInt64, loss: Float) -> TrainEvent.Validation {
        state.withLock { $0.validationLoss = Double(loss) }
        return TrainEvent.Validation(
            step: Int(number) + 1, loss: Double(loss), unigramLoss: unigramLoss ?? 0)
    }

    /// The last event.
    package func finished(at now: Instant, output: JobOutput?) -> TrainEvent.Finished {
        let state = state.withLock { $0 }
        return TrainEvent.Finished(
            steps: state.stepsDone, loss: state.loss, elapsedSeconds: (now - start).seconds,
            validationLoss: state.validationLoss, unigramLoss: unigramLoss,
            checkpointPath: output?.lastCheckpointPath, checkpointShard: nil)
    }
}
