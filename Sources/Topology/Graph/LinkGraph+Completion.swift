extension LinkGraph {
    /// The graph with every unknown figure filled in by a model of the measured ones, marked as predicted; what no model
    /// can say stays unknown.
    ///
    /// Latency comes from coordinates (half the predicted round trip), bandwidth from the slower of the two peers' access
    /// links. Known access rates of the nodes stay as they are: a fitted one is a rate of single links, not proof that
    /// links share it.
    ///
    /// - Parameter seed: chooses the start of the coordinate fit; peers with the same graph and seed get the same bits.
    package func completed(seed: UInt64 = 1) -> LinkGraph {
        guard coverage.unknown > 0 else { return self }
        var graph = self
        var roundTrips: [(Int, Int, Double)] = []
        var measuredRates: [(Int, Int, Double)] = []
        for source in 0..<count {
            for target in 0..<count where target != source {
                let position = position(from: source, to: target)
                if rates[position].source == .measured { measuredRates.append((source, target, rates[position].value)) }
                guard source < target, let roundTrip = measuredRoundTrip(source, target) else { continue }
                roundTrips.append((source, target, roundTrip))
            }
        }
        let coordinates = RoundTripModel.fit(roundTrips: roundTrips, peers: count, seed: seed)
        let access = AccessRateFit.fit(rates: measuredRates, peers: count)
        for source in 0..<count {
            for target in 0..<count where target != source {
                let there = position(from: source, to: target)
                if !latencies[there].isKnown {
                    graph.latencies[there] = latency(
                        opposite: latencies[position(from: target, to: source)],
                        predicted: coordinates.predict(source, target))
                }
                if !rates[there].isKnown, let predicted = access.predict(from: source, to: target),
                    predicted.bytesPerSecond > 0
                {
                    graph.rates[there] = .predicted(predicted.bytesPerSecond, relativeError: predicted.relativeError)
                }
            }
        }
        return graph
    }

    /// The round trip of a pair if at least one direction's latency was measured.
    private func measuredRoundTrip(_ left: Int, _ right: Int) -> Double? {
        let there = latencies[position(from: left, to: right)]
        let back = latencies[position(from: right, to: left)]
        switch (there.source == .measured, back.source == .measured) {
        case (true, true): return there.value + back.value
        case (true, false): return 2 * there.value
        case (false, true): return 2 * back.value
        case (false, false): return nil
        }
    }

    /// The other direction's latency if that was measured (a round trip is halved anyway), else half the prediction.
    private func latency(
        opposite: LinkEstimate, predicted: Prediction?
    ) -> LinkEstimate {
        if opposite.source == .measured { return .predicted(opposite.value, relativeError: 0.1) }
        guard let predicted else { return .unknown }
        return .predicted(max(0, predicted.value / 2), relativeError: predicted.relativeError)
    }
}
