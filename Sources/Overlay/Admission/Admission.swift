package import Primitives
package import Wire

/// Who belongs to a closed swarm: keeps its founder's signed list, spreads it, and says who may be spoken to.
///
/// Each page is a `SignedEntry` of the founder and only its newest version counts. It has its own messages, because the
/// entries of gossip live and die with their owner's membership, and this list has to outlive its founder's machine. In an
/// open swarm this core does nothing.
package struct Admission: ProtocolCore {
    package enum Input: Sendable {
        case start(known: [Contact])
        case discovered(Contact)
        case receive(AdmissionMessage, from: PeerID)
        case timer
        /// The founder's decision about a peer.
        case decide(AdmissionStatement)
        case memberUp(PeerID)
        case memberDown(PeerID)
        /// A peer has answered that this one is not admitted.
        case refused(by: PeerID)
        /// A peer that is not admitted has tried to open a session.
        case knocked(PeerID)
    }

    package enum Effect: Sendable {
        case send([AdmissionMessage], to: PeerID)
        case learn(Contact)
        /// New keys are wanted: an answer that was due has not come.
        case renewSession(PeerID)
        /// The list is here, or none is needed: membership may begin.
        case opened(known: [Contact])
        /// Whom to speak to from now on.
        case restrict(AdmissionPolicy)
        /// A peer that was admitted is no more.
        case expel(PeerID)
        case event(OverlayEvent)
    }

    /// What a node knows of its swarm's admission when it starts.
    package struct Configuration: Sendable {
        /// `nil` in an open swarm.
        package var founder: PeerID?
        /// Pages from the disk; those that do not verify are dropped.
        package var pages: [SignedEntry]
        /// How often somebody is asked for a first list, and how often a random peer is told of one's versions (a guess:
        /// what a push has missed is mended well within the five seconds that a revocation may take).
        package var interval: Duration = .seconds(1)
        /// Peers that a page is passed on to by everybody who receives it; the founder tells all (a guess, as gossip's).
        package var fanout = 6

        package init(founder: PeerID? = nil, pages: [SignedEntry] = []) {
            self.founder = founder
            self.pages = pages
        }

        /// A swarm that everybody with its secret may join.
        package static let open = Configuration()
    }

    private let configuration: Configuration
    private let signer: Signer
    private let firstVersion: UInt64
    private var generator: SeededGenerator
    private var slots: [SignedEntry?] = []
    private var contents: [AdmissionPage] = []
    private var contacts: [Contact] = []
    /// In a closed swarm, its live members but this one; in an open one nobody asks who they are.
    private var live: [PeerID] = []
    /// Whether anybody was ever live, which is all that an open swarm needs.
    private var hasMet = false
    private var nextRound: Instant?
    /// Whether everybody has been asked for the list before.
    private var hasAsked = false
    package private(set) var policy: AdmissionPolicy
    package private(set) var counters = OverlayCounters()
    /// Who knocked without being admitted, the newest last; at most `Limits.waitingPeers`.
    package private(set) var waiting: [PeerID] = []
    /// Whether somebody has refused this peer since it last knew a live one.
    package private(set) var isRefused = false

    package init(configuration: Configuration, signer: Signer, firstVersion: UInt64, seed: UInt64) {
        self.configuration = configuration
        self.signer = signer
        self.firstVersion = firstVersion
        generator = SeededGenerator(seed: seed)
        policy = configuration.founder.map { .asking(founder: $0) } ?? .open
        for page in configuration.pages where contents(of: page) != nil { store(page) }
        updatePolicy()
    }

    /// Who founded the closed swarm; `nil` if it is open.
    package var founder: PeerID? { configuration.founder }

    /// Whether the swarm is open or its list is here.
    package var isReady: Bool {
        if case .asking = policy { false } else { true }
    }

    /// The pages, to be kept on disk.
    package var pages: [SignedEntry] { slots.compactMap { $0 } }

    /// Everything that the founder has said, in the order of the pages.
    package var statements: [AdmissionStatement] { contents.flatMap(\.statements) }

    package var nextDeadline: Instant? { nextRound }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        switch input {
        case .start(let known):
            contacts = Array(known.prefix(Self.maximumContacts))
            if configuration.founder != nil { nextRound = now }
            effects.append(.restrict(policy))
            if isReady { effects.append(.opened(known: known)) } else { runRound(at: now, into: &effects) }
        case .discovered(let contact):
            guard !isReady, contacts.count < Self.maximumContacts, !contacts.contains(contact) else { return }
            contacts.append(contact)
        case .receive(.page(let page), let sender): take(page, from: sender, into: &effects)
        case .receive(.versions(let versions), let sender): compare(versions, with: sender, into: &effects)
        case .timer: if let due = nextRound, due <= now { runRound(at: now, into: &effects) }
        case .decide(let statement): decide(statement, into: &effects)
        case .memberUp(let peer):
            isRefused = false
            hasMet = true
            if founder != nil { live.append(peer) }  // membership says this once of each
        case .memberDown(let peer): live.removeAll { $0 == peer }
        case .refused:
            guard !isRefused, founder == nil ? !hasMet : live.isEmpty else { return }
            isRefused = true
            effects.append(.event(.notAdmitted))
        case .knocked(let peer):
            waiting.removeAll { $0 == peer }
            if waiting.count >= Limits.waitingPeers { waiting.removeFirst() }
            waiting.append(peer)
        }
    }

    /// As many as membership tries at the same time.
    private static var maximumContacts: Int { 32 }

    // MARK: The founder

    private mutating func decide(_ statement: AdmissionStatement, into effects: inout [Effect]) {
        guard signer.peer == founder, isReady, statement.peer != founder else {
            return counters.count(.unexpected)
        }
        let index =
            contents.firstIndex { $0.statements.contains { $0.peer == statement.peer } }
            ?? contents.firstIndex { $0.statements.count < Limits.admissionsPerPage } ?? contents.count
        guard index < Limits.admissionPages else { return counters.count(.overLimit) }
        var page = index < contents.count ? contents[index] : AdmissionPage()
        page.statements.removeAll { $0.peer == statement.peer }
        page.statements.append(statement)
        let old = index < slots.count ? slots[index]?.version ?? 0 : 0
        let entry = SignedEntry(
            key: .admission(page: UInt8(index)), version: max(old + 1, firstVersion), value: page.wireBytes,
            signer: signer)
        change(to: entry, into: &effects)
        for peer in live where policy.keeps(peer) { effects.append(.send([.page(entry)], to: peer)) }
    }

    // MARK: Everybody

    private mutating func take(_ page: SignedEntry, from sender: PeerID, into effects: inout [Effect]) {
        guard page.owner == founder, page.key.kind == EntryKey.admissionKind,
            Int(page.key.index) < Limits.admissionPages
        else { return counters.count(.unexpected) }
        let known = version(at: Int(page.key.index))
        guard page.version > known else { return counters.count(page.version == known ? .duplicate : .stale) }
        guard contents(of: page) != nil else { return counters.count(.forged) }
        change(to: page, into: &effects)
        let others = live.filter { $0 != sender && policy.keeps($0) }
        for _ in 0..<min(configuration.fanout, others.count) {
            effects.append(.send([.page(page)], to: others[generator.index(below: others.count)]))
        }
    }

    /// Sends what the other has not got, and asks for what this peer has not got.
    private mutating func compare(_ theirs: [UInt64], with sender: PeerID, into effects: inout [Effect]) {
        guard founder != nil else { return counters.count(.unexpected) }
        for (index, page) in slots.enumerated() {
            guard let page, page.version > (index < theirs.count ? theirs[index] : 0) else { continue }
            effects.append(.send([.page(page)], to: sender))
        }
        if theirs.indices.contains(where: { theirs[$0] > version(at: $0) }) {
            effects.append(.send([.versions(versions)], to: sender))
        }
    }

    private mutating func runRound(at now: Instant, into effects: inout [Effect]) {
        nextRound = now + configuration.interval * (0.75 + 0.5 * generator.unit())
        guard isReady else {
            for contact in contacts where contact.peer != signer.peer {
                effects.append(.learn(contact))
                effects.append(.send([.versions(versions)], to: contact.peer))
                // Who has the list sends it at once. Who has not done so may have lost the keys of the session.
                if hasAsked { effects.append(.renewSession(contact.peer)) }
            }
            hasAsked = true
            return
        }
        guard !live.isEmpty else { return }
        effects.append(.send([.versions(versions)], to: live[generator.index(below: live.count)]))
    }

    private mutating func change(to page: SignedEntry, into effects: inout [Effect]) {
        let wasReady = isReady
        let before = policy
        store(page)
        updatePolicy()
        effects.append(.restrict(policy))
        effects.append(.event(.admissionChanged))
        for peer in live where before.keeps(peer) && !policy.keeps(peer) { effects.append(.expel(peer)) }
        for statement in contents[Int(page.key.index)].statements where statement.isAdmitted {
            waiting.removeAll { $0 == statement.peer }
        }
        live.removeAll { !policy.keeps($0) }
        if !wasReady, isReady {
            isRefused = false
            effects.append(.opened(known: contacts.filter { policy.keeps($0.peer) }))
        }
    }

    /// The statements of a page that its founder signed; `nil` for anything else.
    private func contents(of page: SignedEntry) -> AdmissionPage? {
        guard page.owner == founder, page.key.kind == EntryKey.admissionKind,
            Int(page.key.index) < Limits.admissionPages, page.isAuthentic(signer)
        else { return nil }
        return try? AdmissionPage(wireBytes: page.value)
    }

    private mutating func store(_ page: SignedEntry) {
        let index = Int(page.key.index)
        guard let statements = try? AdmissionPage(wireBytes: page.value) else { return counters.count(.malformed) }
        while slots.count <= index {
            slots.append(nil)
            contents.append(AdmissionPage())
        }
        slots[index] = page
        contents[index] = statements
    }

    private mutating func updatePolicy() {
        guard let founder, slots.contains(where: { $0 != nil }) else { return }
        var admitted: Set = [founder]
        for statement in statements where statement.isAdmitted { admitted.insert(statement.peer) }
        // A list that names a peer twice is a founder's mistake: the stricter word counts.
        for statement in statements where !statement.isAdmitted && statement.peer != founder {
            admitted.remove(statement.peer)
        }
        policy = .closed(admitted)
    }

    private func version(at index: Int) -> UInt64 { index < slots.count ? slots[index]?.version ?? 0 : 0 }

    private var versions: [UInt64] { slots.indices.map { version(at: $0) } }
}
