package import Primitives

/// The members of the swarm as one node sees them: `weft peers`.
package struct PeerListing: Codable, Hashable, Sendable {
    /// The listing node first, then by identity.
    package var peers: [PeerView]

    package init(peers: [PeerView]) { self.peers = peers }

    /// Finds the one peer that a person meant: by full identity, by the beginning of one (four characters or more), or
    /// by name.
    package func resolve(_ text: String) throws(NodeControlError) -> PeerID {
        if let exact = PeerID(text) {
            guard peers.contains(where: { $0.peer == exact.description }) else {
                throw NodeControlError(.notFound, "no peer \(exact.short) in this swarm: `weft peers` lists them")
            }
            return exact
        }
        var found = peers.filter { $0.name == text }
        if found.isEmpty, text.count >= 4 { found = peers.filter { $0.peer.hasPrefix(text.lowercased()) } }
        guard let match = found.first else {
            throw NodeControlError(
                .notFound, "no peer is called \"\(text)\": `weft peers` lists names and identities")
        }
        guard found.count == 1, let peer = PeerID(match.peer) else {
            let choices = found.map { String($0.peer.prefix(10)) }.joined(separator: ", ")
            throw NodeControlError(
                .invalidRequest, "\"\(text)\" means more than one peer (\(choices)): give the identity")
        }
        return peer
    }
}

/// One member.
package struct PeerView: Codable, Hashable, Sendable {
    /// States of the membership protocol.
    package enum State: String, Codable, Sendable, CaseIterable {
        case alive, suspect, dead, left
        /// A closed swarm's founder has ended its admission.
        case revoked
    }

    package var peer: String
    /// Empty until the peer's capability entry arrived.
    package var name: String
    package var state: State
    /// Whether this is the node that made the listing.
    package var isSelf: Bool
    /// Where packets for it go now.
    package var address: String?
    /// Smallest round trip lately.
    package var roundTripSeconds: Double?
    /// For how long the peer has been in this state.
    package var stateSeconds: Double
    package var incarnation: UInt64
    package var capability: CapabilityView?

    package init(
        peer: PeerID, name: String, state: State, isSelf: Bool, address: String?, roundTripSeconds: Double?,
        stateSeconds: Double, incarnation: UInt64, capability: CapabilityView?
    ) {
        self.peer = peer.description
        self.name = name
        self.state = state
        self.isSelf = isSelf
        self.address = address
        self.roundTripSeconds = roundTripSeconds
        self.stateSeconds = stateSeconds
        self.incarnation = incarnation
        self.capability = capability
    }
}
