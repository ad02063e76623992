/// The judge of a plan for generation: a discrete-event simulation of one pipeline's groups, pass by pass.
///
/// Stages and links are queues, first in, first out; a pass arrives one latency after its last byte has left; the token
/// goes back to the first stage, where the group's next pass begins, and a group whose answers are complete begins with new
/// prompts at once.
package struct GenerationSimulator {
    /// What the simulation saw.
    package struct Trace: Hashable, Sendable {
        /// Seconds from the start until the first stage has the first token of the first group.
        package var timeToFirstToken: Double
        /// When the first group's first answer was complete.
        package var firstAnswer: Double
        /// Tokens a second over the second whole answer of every group, all sequences counted.
        package var tokensPerSecond: Double
        /// Seconds that each stage computed in that time, and that each link after a stage was busy, as a share.
        package var stageShares: [Double]
        package var linkShares: [Double]
    }

    private enum Event {
        case ready(group: Int)
        case arrived(group: Int, pass: Int, stage: Int)
        case computed(stage: Int)
        case sent(stage: Int)
    }

    private typealias Work = (group: Int, pass: Int)

    private let pipeline: GenerationLayout.Pipeline
    private let costs: PassCosts
    private let newTokens: Int
    private var events = EventQueue<Event>()
    private var waiting: [[Work]]
    private var working: [Work?]
    private var leaving: [[Work]]
    private var sending: [Work?]
    private var nextPass: [Int]
    private var tokens = 0
    private var begin = 0.0
    private var isMeasuring = false
    private var trace: Trace

    /// Follows a pipeline until every group has given two answers' tokens.
    ///
    /// - Parameter startsTogether: whether all groups start with their prompts, as the first answers' times want it, rather
    ///   than spread over an answer.
    package static func run(
        _ pipeline: GenerationLayout.Pipeline, tables: GenerationTables, startsTogether: Bool = false
    ) -> Trace {
        var simulator = GenerationSimulator(pipeline, tables: tables, startsTogether: startsTogether)
        simulator.run()
        return simulator.trace
    }

    private init(_ pipeline: GenerationLayout.Pipeline, tables: GenerationTables, startsTogether: Bool) {
        self.pipeline = pipeline
        let costs = PassCosts(pipeline, tables: tables)
        self.costs = costs
        newTokens = tables.newTokens
        let stages = pipeline.stages.count
        waiting = Array(repeating: [], count: stages)
        leaving = waiting
        working = Array(repeating: nil, count: stages)
        sending = working
        nextPass = (0..<pipeline.groups).map { startsTogether ? 0 : costs.startingPass(of: $0) }
        trace = Trace(
            timeToFirstToken: 0, firstAnswer: 0, tokensPerSecond: 0,
            stageShares: Array(repeating: 0, count: stages), linkShares: Array(repeating: 0, count: stages))
    }

    private mutating func run() {
        let perAnswer = pipeline.groups * newTokens
        for group in 0..<pipeline.groups { events.push(.ready(group: group), at: 0) }
        while tokens < 2 * perAnswer, let (time, event) = events.pop() {
            switch event {
            case .ready(let group):
                let pass = nextPass[group]
                nextPass[group] = pass + 1 == costs.passes ? 0 : pass + 1
                enqueue((group, pass), stage: 0, at: time)
            case .arrived(let group, let pass, let stage):
                enqueue((group, pass), stage: stage, at: time)
            case .computed(let stage):
                guard let work = working[stage] else { continue }
                working[stage] = nil
                computed(work, stage: stage, at: time)
                startNext(stage, at: time)
            case .sent(let stage):
                guard let work = sending[stage] else { continue }
                sending[stage] = nil
                events.push(
                    .arrived(group: work.group, pass: work.pass, stage: stage + 1), at: time + costs.latencies[stage])
                sendNext(stage, at: time)
            }
        }
    }

    private mutating func enqueue(_ work: Work, stage: Int, at time: Double) {
        waiting[stage].append(work)
        startNext(stage, at: time)
    }

    private mutating func startNext(_ stage: Int, at time: Double) {
        guard working[stage] == nil, !waiting[stage].isEmpty else { return }
        let work = waiting[stage].removeFirst()
        working[stage] = work
        let seconds = costs.seconds[stage * costs.passes + work.pass]
        if isMeasuring { trace.stageShares[stage] += seconds }
        events.push(.computed(stage: stage), at: time + seconds)
    }

    private mutating func sendNext(_ stage: Int, at time: Double) {
        guard sending[stage] == nil, !leaving[stage].isEmpty else { return }
        let work = leaving[stage].removeFirst()
        sending[stage] = work
        let seconds = costs.transfers[stage * costs.passes + work.pass]
        if isMeasuring { trace.linkShares[stage] += seconds }
        events.push(.sent(stage: stage), at: time + seconds)
    }

    private mutating func computed(_ work: Work, stage: Int, at time: Double) {
        // A lone group's chunks follow each other.
        let isInnerChunk = work.pass + 1 < pipeline.promptChunks
        let isAlone = pipeline.groups == 1
        if stage == 0, isInnerChunk, isAlone { events.push(.ready(group: work.group), at: time) }
        if stage + 1 < pipeline.stages.count {
            leaving[stage].append(work)
            sendNext(stage, at: time)
            return
        }
        if !isInnerChunk || !isAlone { events.push(.ready(group: work.group), at: time + costs.back) }
        guard !isInnerChunk else { return }
        tokens += 1
        let back = time + costs.back
        if work.group == 0, work.pass + 1 == pipeline.promptChunks, trace.timeToFirstToken == 0 {
            trace.timeToFirstToken = back
        }
        if work.group == 0, work.pass + 1 == costs.passes, trace.firstAnswer == 0 { trace.firstAnswer = back }
        let perAnswer = pipeline.groups * newTokens
        if tokens == perAnswer {
            begin = time
            isMeasuring = true
        } else if tokens == 2 * perAnswer {
            let seconds = max(time - begin, 1e-300)
            trace.tokensPerSecond = Double(perAnswer * pipeline.groupSequences) / seconds
            for index in trace.stageShares.indices {
                trace.stageShares[index] = min(1, trace.stageShares[index] / seconds)
                trace.linkShares[index] = min(1, trace.linkShares[index] / seconds)
            }
        }
    }
}
