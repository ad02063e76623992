/// When the stages of a pipeline have done their work, in pipeline order: seconds from the beginning of the iteration.
struct StageEnds: Equatable {
    /// The end of the last pass of any kind.
    var finishes: [Double]
    /// The end of the last pass that another stage waits for: after it only gradients of weights are computed that a
    /// zero-bubble schedule has put off.
    var inputs: [Double]
    /// When the links to the next stage and to the one before have sent their last tensor; zero where that is not known.
    var forwardLinks: [Double]
    var backwardLinks: [Double]

    /// Where nothing is put off.
    init(finishes: [Double]) {
        self.finishes = finishes
        inputs = finishes
        forwardLinks = finishes.map { _ in 0 }
        backwardLinks = forwardLinks
    }

    /// Each stage so much later.
    func later(by seconds: [Double]) -> StageEnds {
        var ends = self
        for index in seconds.indices {
            ends.finishes[index] += seconds[index]
            ends.inputs[index] += seconds[index]
            ends.forwardLinks[index] += seconds[index]
            ends.backwardLinks[index] += seconds[index]
        }
        return ends
    }
}
