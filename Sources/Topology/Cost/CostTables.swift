/// A problem as flat arrays of seconds and bytes for one micro-batch, which is what the cost models read.
package struct CostTables: Sendable {
    package let peers: Int
    package let layers: Int
    /// Micro-batches of one iteration over all replicas.
    package let microBatches: Int
    /// Seconds for a FLOP, by peer.
    package let secondsPerFlop: [Double]
    package let memoryBytes: [Double]
    /// One-way latency in seconds, row-major.
    package let latency: LinkTable<Double>
    /// Seconds for a byte over a link by itself, row-major.
    package let secondsPerByte: LinkTable<Double>
    /// Seconds for a byte into and out of the access link, zero where it is not known to be a limit.
    package let uplinkSecondsPerByte: [Double]
    package let downlinkSecondsPerByte: [Double]
    /// Whether any access link is known.
    package let sharesAccess: Bool
    /// Sums over the layers before index l, so that a range is a difference: FLOPs of a micro-batch.
    package let forwardPrefix: [Double]
    package let backwardPrefix: [Double]
    package let parameterPrefix: [Double]
    /// Bytes kept by a micro-batch between forward and backward.
    package let storedPrefix: [Double]
    /// Bytes that a micro-batch sends over the boundary before layer l, forwards and backwards.
    package let boundaryForwardBytes: [Double]
    package let boundaryBackwardBytes: [Double]
    package let gradientBytesPerParameter: Double
    package let stateBytesPerParameter: Double
    package let tiedParameters: Double
    package let taskOverheadSeconds: Double
    package let extraInFlight: Int
    package let exactReduction: Bool
    package let slicesTiedExchange: Bool
    /// Whether the holders of a layer reduce slices as large as their slowest link allows, rather than equal ones.
    package let weighsSlices: Bool
    /// Clusters within which the holders of a layer may add up its gradients first; empty where they may not. Never where
    /// access links are shared: they carry the least bytes if all exchange with all.
    package let exchangeClusters: [ExchangeClusters]
    /// Whether peers may add up slices of gradients of layers that they do not hold, so that all links of a holder carry its
    /// gradients, and a stage may begin to exchange one layer while it computes the gradients of others.
    package private(set) var spreadsExchange: Bool
    /// What such exchanges need to know of the links; `nil` without them.
    package let spreadFigures: SpreadFigures?
    /// The part of a backward pass that computes the gradients of the weights: nobody waits for it, so a zero-bubble
    /// schedule does it when nothing else can be done (Qi et al. 2023 measure one third of the whole pass each for
    /// forward, input and weight gradients).
    package let weightGradientShare = 0.5
    /// How tensors are made smaller on links that are not in `plainLinks`.
    package let compression: PlanningProblem.Compression
    /// Directed pairs (row-major positions) that carry tensors as they are.
    package private(set) var plainLinks: Set<Int> = []
    /// Optimiser steps for one exchange of gradients.
    package let localSteps: Int
    /// Whether all peers are equal in speed and memory.
    package let isHomogeneous: Bool

    /// Replicas among which a layer's gradients are divided to tell how far peers are apart; a guess that only orders links
    /// whose latency says one thing and whose rate another.
    private static let usualReplicas = 8.0

    /// Peers up to which exchanges are spread over all of them; every transfer of larger swarms would take too long to price.
    private static let mostPeersOfSpreading = 160

    /// FLOPs that AdamW costs a parameter, as time on the peer: about 15 operations, but bound by memory traffic of 28
    /// bytes; 40 is a guess that fits a CPU core at 100 GFLOP/s and 2.5 G parameters/s.
    package static let optimizerFlopsPerParameter = 40.0

    package init(_ problem: PlanningProblem) {
        let graph = problem.graph
        peers = graph.count
        layers = problem.model.layers.count
        microBatches = problem.batch.microBatches
        secondsPerFlop = graph.nodes.map { 1 / $0.flopsPerSecond }
        memoryBytes = graph.nodes.map(\.memoryBytes)
        let isUniform = graph.latencies.isShaped(as: graph.rates)
        latency = (isUniform ? graph.latencies : graph.latencies.filled).mapLinks { $0.isKnown ? $0.value : 0 }
        secondsPerByte = (isUniform ? graph.rates : graph.rates.filled).mapLinks {
            $0.isKnown && $0.value > 0 ? 1 / $0.value : 0
        }
        uplinkSecondsPerByte = graph.nodes.map { node in node.uplinkBytesPerSecond.map { 1 / $0 } ?? 0 }
        downlinkSecondsPerByte = graph.nodes.map { node in node.downlinkBytesPerSecond.map { 1 / $0 } ?? 0 }
        sharesAccess = graph.nodes.contains { $0.uplinkBytesPerSecond != nil || $0.downlinkBytesPerSecond != nil }
        // A batch that does not divide evenly has one smaller micro-batch; all are priced alike.
        let sequences = Double(min(problem.batch.microBatchSequences, problem.batch.sequences))
        func prefix(_ value: (ModelProfile.Layer) -> Double) -> [Double] {
            var sums = [0.0]
            for layer in problem.model.layers { sums.append(sums[sums.count - 1] + value(layer)) }
            return sums
        }
        forwardPrefix = prefix { $0.forwardFlops * sequences }
        backwardPrefix = prefix { $0.backwardFlops * sequences }
        parameterPrefix = prefix(\.parameters)
        storedPrefix = prefix { $0.storedBytes * sequences }
        boundaryForwardBytes = [0] + problem.model.layers.map { $0.activationBytes * sequences }
        boundaryBackwardBytes = [0] + problem.model.layers.map { $0.activationGradientBytes * sequences }
        gradientBytesPerParameter = problem.model.gradientBytesPerParameter
        stateBytesPerParameter = problem.model.stateBytesPerParameter
        tiedParameters = problem.model.tiedParameters
        taskOverheadSeconds = problem.taskOverheadSeconds
        extraInFlight = problem.extraInFlight
        exactReduction = problem.exactReduction
        slicesTiedExchange = problem.slicesTiedExchange
        weighsSlices = problem.weighsSlices
        exchangeClusters =
            problem.exchangesInLevels && !sharesAccess && !exactReduction
            ? ExchangeClusters.all(
                latency: latency, secondsPerByte: secondsPerByte,
                bytes: gradientBytesPerParameter * problem.compression.gradientFactor * parameterPrefix[layers]
                    / Double(layers) / Self.usualReplicas)
            : []
        spreadsExchange =
            problem.exchangesInLevels && !sharesAccess && !exactReduction && graph.count <= Self.mostPeersOfSpreading
        spreadFigures =
            spreadsExchange
            ? SpreadFigures(
                latency: latency, secondsPerByte: secondsPerByte, peers: peers,
                largest: Self.largestSlice(peers: peers)) : nil
        compression = problem.compression
        localSteps = max(1, problem.localSteps)
        isHomogeneous = graph.nodes.allSatisfy {
            $0.flopsPerSecond == graph.nodes[0].flopsPerSecond && $0.memoryBytes == graph.nodes[0].memoryBytes
        }
    }

    /// Seconds of a micro-batch's forward pass through the layers on a peer.
    package func forwardSeconds(_ layers: Range<Int>, on peer: Int) -> Double {
        (forwardPrefix[layers.upperBound] - forwardPrefix[layers.lowerBound]) * secondsPerFlop[peer]
            + taskOverheadSeconds
    }

    /// Seconds of a micro-batch's backward pass through the layers on a peer.
    package func backwardSeconds(_ layers: Range<Int>, on peer: Int) -> Double {
        (backwardPrefix[layers.upperBound] - backwardPrefix[layers.lowerBound]) * secondsPerFlop[peer]
            + taskOverheadSeconds
    }

    /// Bytes that a micro-batch sends over the boundary before layer `boundary` on a directed link.
    package func forwardBytes(_ boundary: Int, link: Int) -> Double {
        boundaryForwardBytes[boundary] * (isPlain(link) ? 1 : compression.activationFactor)
    }

    /// The same for the gradients that come back.
    package func backwardBytes(_ boundary: Int, link: Int) -> Double {
        boundaryBackwardBytes[boundary] * (isPlain(link) ? 1 : compression.activationGradientFactor)
    }

    /// What the exchange between replicas sends for a byte of gradients on a directed link.
    package func exchangeFactor(link: Int) -> Double { isPlain(link) ? 1 : compression.gradientFactor }

    private func isPlain(_ link: Int) -> Bool { !plainLinks.isEmpty && plainLinks.contains(link) }

    /// Whether relays may gather what others add up. Among few peers there is less to gain, and bounds would be lower.
    var relaysExchange: Bool { spreadsExchange && peers > Self.mostPeersWithoutRelays }

    static let mostPeersWithoutRelays = 16

    /// The same tables for a layout that leaves these links uncompressed.
    package func leavingPlain(_ links: Set<Int>) -> CostTables {
        guard links != plainLinks else { return self }
        var tables = self
        tables.plainLinks = links
        return tables
    }

    /// The same tables for plans in which only those who hold a layer exchange its gradients.
    var withoutSpreading: CostTables {
        var tables = self
        tables.spreadsExchange = false
        return tables
    }

    /// Parameters in a range of layers; a stage that holds the whole model holds a tied embedding once.
    package func parameters(_ range: Range<Int>) -> Double {
        let sum = parameterPrefix[range.upperBound] - parameterPrefix[range.lowerBound]
        return range.count == layers ? sum - tiedParameters : sum
    }

    /// Gradient bytes of a range of layers.
    package func gradientBytes(_ range: Range<Int>) -> Double { parameters(range) * gradientBytesPerParameter }

    /// Bytes that a pipeline's first and last stage send each other for a tied embedding.
    package func tiedBytes(replicas: Int) -> Double {
        tiedParameters * gradientBytesPerParameter / (slicesTiedExchange ? Double(replicas) : 1)
    }

    /// Seconds of the optimiser step.
    package func optimizerSeconds(_ range: Range<Int>, on peer: Int) -> Double {
        parameters(range) * Self.optimizerFlopsPerParameter * secondsPerFlop[peer]
    }

    /// Bytes that a stage needs to hold its state, `depth` micro-batches and what it adds up for others in an exchange.
    package func stageBytes(_ range: Range<Int>, depth: Int, exchange: ExchangeStyle = .direct) -> Double {
        parameters(range) * stateBytesPerParameter + sliceBytes(range, exchange)
            + Double(depth) * (storedPrefix[range.upperBound] - storedPrefix[range.lowerBound])
    }

    /// Room for slices of layers that a stage does not hold.
    private func sliceBytes(_ range: Range<Int>, _ exchange: ExchangeStyle) -> Double {
        guard exchange.isSpread, spreadsExchange else { return 0 }
        return largestSlice * (gradientBytes(0..<layers) - gradientBytes(range))
    }

    /// The part of all layers' gradients that a peer has room to add up in a spread exchange, its own layers aside; where slices
    /// are the same for all layers, the largest of them.
    var largestSlice: Double { Self.largestSlice(peers: peers) }

    private static func largestSlice(peers: Int) -> Double { min(1, largestSliceOfMean / Double(max(1, peers))) }

    /// More would take memory from micro-batches in flight; a guess.
    private static let largestSliceOfMean = 3.0

    /// Micro-batches that a stage has room for; zero or less if it does not even hold its state.
    package func depthThatFits(_ range: Range<Int>, on peer: Int, exchange: ExchangeStyle = .direct) -> Int {
        let room = memoryBytes[peer] - stageBytes(range, depth: 0, exchange: exchange)
        let stored = storedPrefix[range.upperBound] - storedPrefix[range.lowerBound]
        guard room > 0 else { return 0 }
        guard stored > 0 else { return microBatches }
        return room / stored >= Double(microBatches) ? microBatches : Int(room / stored)
    }

    /// Sums that a pipeline must send for each gradient element: one, or with a fixed reduction tree the number of
    /// canonical subtrees that make up its contiguous range of micro-batches.
    package func partialSums(_ range: Range<Int>) -> Int {
        guard exactReduction else { return 1 }
        return ReductionTree.canonicalParts(of: range, in: 0..<microBatches)
    }
}

/// The fixed binary tree over micro-batch indices that gradients are added along: every node splits at the largest
/// power of two below its size, as RFC 6962's Merkle trees do.
package enum ReductionTree {
    /// The fewest whole subtrees that make up `range`.
    package static func canonicalParts(of range: Range<Int>, in tree: Range<Int>) -> Int {
        guard range.overlaps(tree) else { return 0 }
        if range.lowerBound <= tree.lowerBound, range.upperBound >= tree.upperBound { return 1 }
        var half = 1
        while half * 2 < tree.count { half *= 2 }
        let middle = tree.lowerBound + half
        return canonicalParts(of: range, in: tree.lowerBound..<middle)
            + canonicalParts(of: range, in: middle..<tree.upperBound)
    }
}
