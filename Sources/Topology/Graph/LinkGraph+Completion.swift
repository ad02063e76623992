extension LinkGraph {
    /// What half of the figures taken from the other direction are assumed to be off by, and nine of ten: a guess. Round
    /// trips are measured as such, so the two directions differ only if one was given.
    private static let oppositeError = (half: 0.1, nineTenths: 0.3)

    /// The graph with every unknown figure filled in by a model of the measured ones, marked as predicted with the model's name
    /// and expected error; what no model can say stays unknown.
    ///
    /// Latency is half a round trip predicted by coordinates; bandwidth comes from the slower of the two peers' access links
    /// or from factorised rates, whichever predicts held-out measurements better. Known access rates of the nodes stay as
    /// they are: a fitted one is a rate of single links, not proof that links share it.
    ///
    /// Pairs whose ends disagree are in quarantine: nothing is learnt from them, except of a peer of which there is nothing else.
    ///
    /// - Parameter seed: chooses the start of the coordinate fit; peers with the same graph and seed get the same bits.
    package func completed(seed: UInt64 = 1) -> LinkGraph {
        guard coverage.unknown > 0 else { return self }
        var graph = self
        let measuredRates = trustedRates
        let places = RoundTripModel.fit(roundTrips: trustedRoundTrips, peers: count, seed: seed)
        var isRateMissing = false
        var allRoundTrips = [Double](repeating: 0, count: count * count)
        for source in 0..<count {
            for target in 0..<count where target != source {
                let there = position(from: source, to: target)
                isRateMissing = isRateMissing || !rates[there].isKnown
                let measured = measuredRoundTrip(source, target)
                let predicted = measured == nil ? places.predict(source, target) : nil
                allRoundTrips[there] = measured ?? predicted?.value ?? 0
                guard !latencies[there].isKnown else { continue }
                if latencies[position(from: target, to: source)].source == .measured {
                    graph.latencies[there] = .predicted(
                        Prediction(
                            value: latencies[position(from: target, to: source)].value,
                            relativeError: Self.oppositeError.half, spread: Self.oppositeError.nineTenths),
                        by: .opposite)
                } else if var predicted {
                    predicted.value /= 2
                    graph.latencies[there] = .predicted(predicted, by: .coordinate)
                }
            }
        }
        guard isRateMissing else { return graph }
        let model = RateModel.fit(
            rates: measuredRates, roundTrips: allRoundTrips, model: places, peers: count, seed: seed)
        for source in 0..<count {
            for target in 0..<count where target != source {
                let there = position(from: source, to: target)
                guard !rates[there].isKnown, let predicted = model.predict(from: source, to: target) else { continue }
                graph.rates[there] = .predicted(predicted, by: model.kind == .access ? .access : .factorised)
            }
        }
        return graph
    }

    /// The measured rates that others may be predicted from. What the ends dispute is among them only where all that is known from a
    /// peer, or to it, is disputed: then a cautious figure is better than none.
    private var trustedRates: [(Int, Int, Double)] {
        var isSender = [Bool](repeating: false, count: count)
        var isReceiver = isSender
        func forEach(_ body: (Int, Int, LinkEstimate) -> Void) {
            for source in 0..<count {
                for target in 0..<count where target != source {
                    let rate = rates[position(from: source, to: target)]
                    if rate.source == .measured { body(source, target, rate) }
                }
            }
        }
        forEach { source, target, rate in
            guard !rate.isDisputed else { return }
            isSender[source] = true
            isReceiver[target] = true
        }
        var trusted: [(Int, Int, Double)] = []
        forEach { source, target, rate in
            if !rate.isDisputed || !isSender[source] || !isReceiver[target] {
                trusted.append((source, target, rate.value))
            }
        }
        return trusted
    }

    /// The measured round trips that others may be predicted from: who claims a rate that the other end does not see may have seemed
    /// nearer, too. As with rates, a peer of whom nothing else is known is placed by what there is.
    private var trustedRoundTrips: [(Int, Int, Double)] {
        var measured: [(pair: (Int, Int, Double), isDisputed: Bool)] = []
        var isPlaced = [Bool](repeating: false, count: count)
        for one in 0..<count {
            for other in (one + 1)..<count {
                guard let roundTrip = measuredRoundTrip(one, other) else { continue }
                let isDisputed =
                    rates[position(from: one, to: other)].isDisputed || rates[position(from: other, to: one)].isDisputed
                measured.append(((one, other, roundTrip), isDisputed))
                guard !isDisputed else { continue }
                isPlaced[one] = true
                isPlaced[other] = true
            }
        }
        return measured.filter { !$0.isDisputed || !isPlaced[$0.pair.0] || !isPlaced[$0.pair.1] }.map(\.pair)
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
}
