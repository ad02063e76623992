/// Why there is no plan, in one line that says what is short and by how much.
package struct PlanningError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds of failure, for tests and callers.
    package enum Code: String, Sendable {
        /// The problem contradicts itself or holds figures that mean nothing.
        case invalidProblem
        /// A pair of peers has no figure, measured or predicted.
        case unknownLink
        /// Fewer peers than the shape needs.
        case tooFewPeers
        /// No arrangement fits the peers' memory.
        case tooLittleMemory
        /// No peers within the cost limit could do it.
        case tooDear
        /// The objective needs something that the problem does not give.
        case unsupported
    }

    package var code: Code
    package var description: String

    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

extension PlanningProblem {
    /// Throws a `PlanningError` if no search could make sense of the problem.
    package func validate() throws(PlanningError) {
        let peers = graph.count
        guard peers > 0 else { throw PlanningError(.tooFewPeers, "there are no peers to plan for") }
        guard graph.latencies.count == peers * peers, graph.rates.count == peers * peers else {
            throw PlanningError(.invalidProblem, "the link matrices are not \(peers) by \(peers)")
        }
        guard !model.layers.isEmpty else { throw PlanningError(.invalidProblem, "the model has no layers") }
        guard batch.sequences > 0, batch.microBatchSequences > 0 else {
            throw PlanningError(
                .invalidProblem,
                "the batch needs positive sequences and microBatchSequences, not \(batch.sequences) and "
                    + "\(batch.microBatchSequences)")
        }
        if let limit = maximumCostPerHour, !(limit.isFinite && limit >= 0) {
            throw PlanningError(.invalidProblem, "the cost limit is \(limit) an hour: it must not be negative")
        }
        try validatePeers()
        try validateShape()
        try validateLinks()
    }

    private func validatePeers() throws(PlanningError) {
        for node in graph.nodes {
            guard node.flopsPerSecond.isFinite, node.flopsPerSecond > 0 else {
                throw PlanningError(
                    .invalidProblem, "peer \(node.name) has flopsPerSecond \(node.flopsPerSecond): it must be positive")
            }
            guard node.memoryBytes.isFinite, node.memoryBytes > 0 else {
                throw PlanningError(
                    .invalidProblem, "peer \(node.name) has memoryBytes \(node.memoryBytes): it must be positive")
            }
            if let rate = node.memoryBytesPerSecond, !(rate.isFinite && rate > 0) {
                throw PlanningError(
                    .invalidProblem, "peer \(node.name) has memoryBytesPerSecond \(rate): it must be positive")
            }
            if let price = node.pricePerHour, !(price.isFinite && price >= 0) {
                throw PlanningError(
                    .invalidProblem, "peer \(node.name) has pricePerHour \(price): it must not be negative")
            }
        }
    }

    private func validateShape() throws(PlanningError) {
        let stages = shape.stages ?? 1
        let replicas = shape.replicas ?? 1
        guard stages > 0, replicas > 0 else {
            throw PlanningError(.invalidProblem, "stages and replicas must be positive, not \(stages) and \(replicas)")
        }
        guard stages <= model.layers.count else {
            throw PlanningError(
                .invalidProblem, "\(stages) stages need at least as many layers: the model has \(model.layers.count)")
        }
        guard replicas <= batch.microBatches else {
            throw PlanningError(
                .invalidProblem,
                "\(replicas) replicas need at least as many micro-batches: the batch has \(batch.microBatches)")
        }
        let (needed, overflow) = stages.multipliedReportingOverflow(by: replicas)
        guard !overflow, needed <= graph.count else {
            throw PlanningError(
                .tooFewPeers,
                "\(stages) stages times \(replicas) replicas need \(stages) x \(replicas) peers: there are "
                    + "\(graph.count)\(overflow ? "" : ", \(needed - graph.count) too few")")
        }
    }

    private func validateLinks() throws(PlanningError) {
        var missing = 0
        var first: String?
        var fault: PlanningError?
        // Both figures of a graph come from one source, but each may have been set by itself.
        let kinds = graph.rates.isOfPlaces ? graph.latencies : graph.rates
        kinds.forEachKind { source, target, pairs in
            guard fault == nil else { return }
            let latency = graph.latencies[source, target]
            let rate = graph.rates[source, target]
            func link() -> String { "\(graph.nodes[source].name) -> \(graph.nodes[target].name)" }
            guard latency.isKnown, rate.isKnown else {
                missing += pairs
                first = first ?? link()
                return
            }
            if !(latency.value.isFinite && latency.value >= 0) {
                fault = PlanningError(
                    .invalidProblem, "the link \(link()) has latency \(latency.value) s: it must not be negative")
            } else if !(rate.value.isFinite && rate.value > 0) {
                fault = PlanningError(
                    .invalidProblem,
                    "the link \(link()) has bandwidth \(rate.value * 8) bit/s: it must be positive")
            }
        }
        if let fault { throw fault }
        if missing > 0, let first {
            throw PlanningError(
                .unknownLink,
                "\(missing) of \(graph.count * (graph.count - 1)) links have no measurement or prediction, the first is "
                    + first)
        }
    }
}
