/// What the simulator saw of one iteration.
package struct IterationTrace: Hashable, Sendable {
    /// One stage's iteration.
    package struct Stage: Hashable, Sendable {
        /// Seconds of a micro-batch's forward and backward pass.
        package var forwardSeconds: Double
        package var backwardSeconds: Double
        /// Seconds of compute in the whole iteration, without the optimiser.
        package var computeSeconds: Double
        /// When the last backward pass ended.
        package var finishSeconds: Double
        /// When the exchange of the first of the stage's gradients began: before that if weights' gradients were put off.
        package var exchangeBeginSeconds: Double
        /// When the gradients of the stage's layers were complete.
        package var exchangedSeconds: Double
        /// When the optimiser step ended.
        package var doneSeconds: Double
        /// Bytes held at the peak: state and activations.
        package var memoryBytes: Double
    }

    /// One directed pair's iteration.
    package struct Link: Hashable, Sendable {
        package var source: Int
        package var target: Int
        package var bytes: Double
        package var busySeconds: Double
    }

    /// Seconds of the whole iteration.
    package var seconds: Double
    /// When the last stage ended its last backward pass.
    package var pipelineSeconds: Double
    /// What the gradient exchange adds to that.
    package var exchangeSeconds: Double
    /// What the optimiser step adds to that.
    package var optimizerSeconds: Double
    /// By pipeline and stage.
    package var stages: [[Stage]]
    /// Every pair that carried bytes.
    package var links: [Link]
}
