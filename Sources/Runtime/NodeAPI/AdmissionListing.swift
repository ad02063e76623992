package import Primitives

/// Who belongs to a closed swarm: `weft members`.
package struct AdmissionListing: Codable, Hashable, Sendable {
    /// The founder's identity; `nil` if the swarm is open.
    package var founder: String?
    /// Whether the listing node is the founder.
    package var isFounder: Bool
    /// The founder, then everybody whom it has admitted or revoked.
    package var members: [AdmissionView]
    /// Who was turned away here of late, the newest last.
    package var waiting: [AdmissionView]

    package init(
        founder: PeerID?, isFounder: Bool, members: [AdmissionView] = [], waiting: [AdmissionView] = []
    ) {
        self.founder = founder?.description
        self.isFounder = isFounder
        self.members = members
        self.waiting = waiting
    }

    /// The peer that a person meant: a full identity, or the beginning of a listed one (four characters or more).
    package func resolve(_ text: String) throws(NodeControlError) -> PeerID {
        if let exact = PeerID(text) { return exact }
        let listed = members + waiting
        let found = text.count >= 4 ? listed.filter { $0.peer.hasPrefix(text.lowercased()) || $0.name == text } : []
        guard let match = found.first, let peer = PeerID(match.peer) else {
            throw NodeControlError(
                .notFound,
                "\"\(text)\" is nobody listed by `weft members`: give the whole identity, as `weft id` prints it")
        }
        guard found.allSatisfy({ $0.peer == match.peer }) else {
            throw NodeControlError(.invalidRequest, "\"\(text)\" means more than one peer: give more of the identity")
        }
        return peer
    }
}

/// One peer on the list.
package struct AdmissionView: Codable, Hashable, Sendable {
    package enum State: String, Codable, Sendable, CaseIterable {
        case founder, admitted, revoked, waiting
    }

    package var peer: String
    /// Empty unless the peer is live.
    package var name: String
    package var state: State

    package init(peer: PeerID, name: String, state: State) {
        self.peer = peer.description
        self.name = name
        self.state = state
    }
}

/// Whom to admit or revoke.
package struct AdmissionRequest: Codable, Hashable, Sendable {
    /// A full identity, or the beginning of a listed one.
    package var peer: String

    package init(peer: String) { self.peer = peer }
}
