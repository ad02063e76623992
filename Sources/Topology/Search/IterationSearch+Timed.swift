/// Rounds in which candidates are priced with slices that suit when who has its gradients (`TimedSlices`).
///
/// To fit slices to a layout takes a hundred times as long as to follow an exchange with given ones. So candidates get the
/// slices that suit the arrangement from which they come, which are fitted to it now and then in a few rounds; the best of a
/// round is judged with slices of its own.
extension IterationSearch {
    /// Candidates between fits, and rounds of a fit; chosen so that fits take about a tenth of the time.
    private static let stepsOfFit = 256
    private static let roundsOfFit = 10
    private static let timedChampions = 4

    /// Whether all rounds after the first ones are priced so.
    var timesLaterRounds: Bool {
        tables.spreadsExchange && !isWarm && directBuilder == nil && builders[0].exchange.isSpread
    }

    /// Prices candidates so from now on; what islands are worth is said anew.
    mutating func beginTimed() {
        isTimed = true
        for index in builders.indices { builders[index].exchange = .timed }
        for index in islands.indices {
            let layout = self.layout(of: islands[index])
            islands[index].seconds = layout.map { judgedTimed($0) } ?? .infinity
        }
    }

    /// The layout of an island's best.
    private mutating func layout(of island: Island) -> Layout? {
        let state = (builder, pipelines)
        defer { (builder, pipelines) = state }
        builder = island.builder
        pipelines = []
        return build(island.best, changed: nil).map { builders[builder].layout($0) }
    }

    /// What a layout takes with slices of its own, kept among the best.
    mutating func judgedTimed(_ layout: Layout) -> Double {
        var (layout, seconds) = layout.timed(tables: tables)
        seconds *= standbys?.surcharge(layout) ?? 1
        guard seconds.isFinite, !champions.contains(where: { $0.layout == layout }) else { return seconds }
        let position = champions.firstIndex { $0.seconds > seconds } ?? champions.count
        champions.insert((layout, seconds), at: position)
        if champions.count > Self.timedChampions { champions.removeLast() }
        return seconds
    }

    /// Fits slices to the present arrangement, from nothing at the beginning of a round.
    mutating func fitSlices(isNew: Bool) {
        if isNew { builders[builder].forgetSlices() }
        var (layout, value) = builders[builder].fitSlices(to: pipelines, rounds: Self.roundsOfFit)
        if let standbys { value *= standbys.surcharge(arrangement.pipelines.joined(), spares: arrangement.spares) }
        seconds = value
        if value < roundBest?.seconds ?? .infinity { roundBest = (layout, arrangement, value) }
    }

    /// Whether slices are to be fitted again.
    var needsFit: Bool { isTimed && step > 0 && step % Self.stepsOfFit == 0 && !pipelines.isEmpty }
}
