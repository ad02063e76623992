/// Rounds in which candidates are priced with slices that suit when who has its gradients (`TimedSlices`).
///
/// To fit slices to a layout takes a hundred times as long as to follow an exchange with given ones. So candidates get the
/// slices that suit the arrangement from which they come, which are fitted to it now and then in a few rounds; the best of a
/// round is judged with slices of its own.
extension IterationSearch {
    /// Candidates between fits, and rounds of a fit; so that fits take about a tenth of the time, reckoned.
    private static let stepsOfFit = 256
    private static let roundsOfFit = 10
    private static let timedChampions = 4
    /// Islands that are judged at once: all of 64 peers, some of more, whose exchanges take longer to follow.
    private static let leastJudged = 4
    private static let judgedTransfers = 16 * 64 * 64
    /// What timed slices must make of the best island to be worth candidates that are two or three times as dear; a guess.
    private static let worthTiming = 0.99

    /// Whether all rounds after the first ones are priced so.
    var timesLaterRounds: Bool {
        tables.spreadsExchange && !isWarm && directBuilder == nil && builders[0].exchange.isSpread
            && !builders[0].isRough
    }

    /// Prices candidates so from now on, if that makes the best of the islands better; what islands are worth is said anew then.
    mutating func beginTimed() {
        let ranked = islands.indices.sorted { (islands[$0].seconds, $0) < (islands[$1].seconds, $1) }
        let known = ranked.first.map { islands[$0].seconds } ?? .infinity
        let judged = max(Self.leastJudged, Self.judgedTransfers / (tables.peers * tables.peers))
        var seconds: [Int: Double] = [:]
        var least = Double.infinity
        for index in ranked.prefix(judged) {
            let layout = self.layout(of: islands[index])
            let value = layout.map { judgedTimed($0) } ?? .infinity
            seconds[index] = value
            least = min(least, value)
        }
        isTimed = least < known * Self.worthTiming
        isUntimed = !isTimed
        guard isTimed else { return }
        for index in builders.indices { builders[index].exchange = .timed }
        // What is not judged gains as much as the best, as far as one knows.
        for index in islands.indices {
            islands[index].seconds = seconds[index] ?? islands[index].seconds * least / known
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
        guard seconds.isFinite,
            !champions.contains(where: { $0.layout == layout || abs($0.seconds - seconds) <= 1e-9 * seconds })
        else { return seconds }
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
    var needsFit: Bool {
        guard isTimed, !pipelines.isEmpty else { return false }
        return step % Self.stepsOfFit == 0 || pipelines.count > 1 && builders[builder].closedForm.slices == nil
    }
}
