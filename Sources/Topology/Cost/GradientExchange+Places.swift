extension GradientExchange {
    /// `ends` for a search over very many peers at few places: all ranks that hold a segment at one place are alike but
    /// for when they start, so the latest of them stands for all. The work grows with ranks × places, not with ranks².
    ///
    /// Exact where all pipelines are cut alike. Otherwise two neighbouring segments that the same two peers hold are taken to
    /// be sent at the same time rather than one after the other. `nil` where links do not belong to places, access links are
    /// shared, links are left plain or replicas send different numbers of partial sums.
    func endsByPlace(finishes: [[Double]]) -> [[Double]]? {
        guard tables.secondsPerByte.isOfPlaces, !tables.sharesAccess, tables.plainLinks.isEmpty,
            partials.allSatisfy({ $0 == partials[0] })
        else { return nil }
        guard layout.pipelines.count > 1 else { return finishes }
        var ends = finishes
        for (index, segment) in segments.enumerated() {
            if let form = forms[index] {
                exchange(segment, in: form, finishes: finishes, ends: &ends)
            } else {
                exchange(segment, finishes: finishes, ends: &ends)
            }
        }
        return ends
    }

    /// The two latest of a place's ranks.
    private struct Latest {
        var first = -Double.infinity
        var second = -Double.infinity
        var rank = -1

        mutating func add(_ time: Double, rank: Int) {
            if time > first {
                second = first
                first = time
                self.rank = rank
            } else {
                second = max(second, time)
            }
        }

        /// The latest but for one rank.
        func without(_ rank: Int) -> Double { rank == self.rank ? second : first }
    }

    private func exchange(_ segment: Segment, finishes: [[Double]], ends: inout [[Double]]) {
        let replicas = layout.pipelines.count
        let rates = tables.secondsPerByte
        let width = rates.width
        let placeOf = (0..<replicas).map { Int(rates.places[holder(of: segment, rank: $0)]) }
        var counts = Array(repeating: 0, count: width)
        var starts = Array(repeating: Latest(), count: width)
        for rank in 0..<replicas {
            counts[placeOf[rank]] += 1
            starts[placeOf[rank]].add(finishes[rank][segment.stages[rank]], rank: rank)
        }
        let places = (0..<width).filter { counts[$0] > 0 }
        let slices = slices(places, counts: counts)
        let gathered = segment.bytes * tables.compression.gradientFactor
        let scattered = gathered * partials[0]
        var reduced: [Double] = []
        reduced.reserveCapacity(replicas)
        var ready = Array(repeating: Latest(), count: width)
        for rank in 0..<replicas {
            let own = placeOf[rank]
            var time = finishes[rank][segment.stages[rank]]
            for place in places {
                let start = starts[place].without(rank)
                let seconds = scattered * slices[own] * rates.figure(from: place, to: own)
                time = max(time, start + seconds + tables.latency.figure(from: place, to: own))
            }
            reduced.append(time)
            ready[own].add(time, rank: rank)
        }
        for rank in 0..<replicas {
            let own = placeOf[rank]
            var time = reduced[rank]
            for place in places {
                let cost = rates.figure(from: place, to: own)
                // The sums queue behind the partial slices on their pair's link.
                let sent = starts[place].without(rank) + scattered * slices[own] * cost
                let from = max(ready[place].without(rank), sent)
                time = max(time, from + gathered * slices[place] * cost + tables.latency.figure(from: place, to: own))
            }
            let stage = segment.stages[rank]
            ends[rank][stage] = max(ends[rank][stage], time)
        }
    }

    /// The same in levels, where clusters are places.
    private func exchange(_ segment: Segment, in form: ExchangeForm, finishes: [[Double]], ends: inout [[Double]]) {
        let replicas = layout.pipelines.count
        let rates = tables.secondsPerByte
        let bytes = segment.bytes * tables.compression.gradientFactor
        var placeOf = Array(repeating: 0, count: form.sizes.count)
        for rank in 0..<replicas {
            placeOf[form.clusters[rank]] = Int(rates.places[holder(of: segment, rank: rank)])
        }
        var times = (0..<replicas).map { finishes[$0][segment.stages[$0]] }
        func latest() -> [Latest] {
            var found = form.sizes.map { _ in Latest() }
            for rank in 0..<replicas { found[form.clusters[rank]].add(times[rank], rank: rank) }
            return found
        }
        func cost(_ from: Int, _ to: Int) -> Double { rates.figure(from: placeOf[from], to: placeOf[to]) }
        func delay(_ from: Int, _ to: Int) -> Double {
            tables.latency.figure(from: placeOf[from], to: placeOf[to])
        }
        let starts = latest()
        /// What mates send each other after `ready`, and not before their links have sent what came before.
        func exchangeAmongMates(_ ready: [Latest], behind earlier: Double) {
            for rank in 0..<replicas {
                let own = form.clusters[rank]
                guard form.sizes[own] > 1 else { continue }
                let seconds = bytes * form.mateShare(own) * cost(own, own)
                let from = max(ready[own].without(rank), starts[own].without(rank) + earlier * seconds)
                times[rank] = max(times[rank], from + seconds + delay(own, own))
            }
        }
        exchangeAmongMates(starts, behind: 0)
        let added = latest()
        var sums = form.sizes.map { _ in -Double.infinity }
        for own in sums.indices {
            for other in sums.indices where other != own {
                let seconds = bytes * form.share(from: other, addedUpBy: own) * cost(other, own)
                sums[own] = max(sums[own], added[other].first + seconds + delay(other, own))
            }
        }
        for rank in 0..<replicas { times[rank] = max(times[rank], sums[form.clusters[rank]]) }
        if !form.swaps {
            let ready = latest()
            var totals = form.sizes.map { _ in -Double.infinity }
            for own in totals.indices {
                for other in totals.indices where other != own {
                    let sent = bytes * form.share(from: other, addedUpBy: own) * cost(other, own)
                    let seconds = bytes * form.share(from: own, addedUpBy: other) * cost(other, own)
                    let from = max(ready[other].first, added[other].first + sent)
                    totals[own] = max(totals[own], from + seconds + delay(other, own))
                }
            }
            for rank in 0..<replicas { times[rank] = max(times[rank], totals[form.clusters[rank]]) }
        }
        exchangeAmongMates(latest(), behind: 1)
        for rank in 0..<replicas {
            let stage = segment.stages[rank]
            ends[rank][stage] = max(ends[rank][stage], times[rank])
        }
    }

    /// `slices(of:)` by place.
    private func slices(_ places: [Int], counts: [Int]) -> [Double] {
        let rates = tables.secondsPerByte
        var slices = Array(repeating: 1 / Double(layout.pipelines.count), count: rates.width)
        guard tables.weighsSlices else { return slices }
        var total = 0.0
        for place in places {
            var slowest = 0.0
            for other in places where other != place || counts[place] > 1 {
                slowest = max(
                    slowest, max(rates.figure(from: place, to: other), rates.figure(from: other, to: place)))
            }
            slices[place] = slowest > 0 ? 1 / slowest : 1
            total += slices[place] * Double(counts[place])
        }
        for place in places { slices[place] /= total }
        return slices
    }
}
