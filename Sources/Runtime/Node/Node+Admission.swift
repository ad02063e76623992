internal import Logging
internal import Noise
internal import Overlay
internal import Primitives

extension Node {
    /// Keeps the closed swarm's list for the next start.
    func saveAdmission() async {
        guard let pages = try? await driver.read({ $0.admissions.pages }), !pages.isEmpty else { return }
        do { try configuration.state.save(admissionPages: pages) } catch {
            log.error("the closed swarm's list could not be saved: \(error)")
        }
    }

    package func admissions() async throws -> AdmissionListing {
        let admission = try await driver.read { $0.admissions }
        guard let founder = admission.founder else { return AdmissionListing(founder: nil, isFounder: false) }
        let snapshot = try? await snapshot()
        func view(_ peer: PeerID, _ state: AdmissionView.State) -> AdmissionView {
            AdmissionView(peer: peer, name: snapshot?.capability(of: peer)?.name ?? "", state: state)
        }
        let members =
            [view(founder, .founder)] + admission.statements.map { view($0.peer, $0.isAdmitted ? .admitted : .revoked) }
        return AdmissionListing(
            founder: founder, isFounder: founder == identity.peer, members: members,
            waiting: admission.waiting.map { view($0, .waiting) })
    }

    package func admit(_ request: AdmissionRequest) async throws -> AdmissionView { try await decide(request, true) }

    package func revoke(_ request: AdmissionRequest) async throws -> AdmissionView { try await decide(request, false) }

    /// Signs the founder's decision, and answers once it is on disk.
    private func decide(_ request: AdmissionRequest, _ isAdmitted: Bool) async throws -> AdmissionView {
        let listing = try await admissions()
        guard let founder = listing.founder else {
            throw NodeControlError(
                .conflict,
                "this swarm is open: everybody with its ticket is a member; `weft init --closed` makes others")
        }
        guard listing.isFounder else {
            throw NodeControlError(
                .conflict, "only the founder \(founder.prefix(10)) decides who belongs to this swarm: run this there")
        }
        let peer = try listing.resolve(request.peer)
        guard peer.description != founder else {
            throw NodeControlError(.invalidRequest, "the founder always belongs to the swarm")
        }
        driver.input(.decide(AdmissionStatement(peer: peer, isAdmitted: isAdmitted)))
        await saveAdmission()
        let after = try await admissions().members.first { $0.peer == peer.description }
        guard let after, (after.state == .admitted) == isAdmitted else {
            throw NodeControlError(
                .unavailable,
                "the list has not changed: it is full, or this founder has lost it and no peer has brought it")
        }
        return after
    }

    /// How this node stands with its swarm.
    func admissionState() async -> NodeStatus.Admission {
        guard let admission = try? await driver.read({ $0.admissions }), admission.founder != nil else { return .open }
        if admission.isReady { return admission.isRefused ? .revoked : .admitted }
        return admission.isRefused ? .refused : .asking
    }
}
