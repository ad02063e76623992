/// Whom a peer speaks to: in an open swarm everybody who knows the secret, in a closed one those on its founder's list.
package enum AdmissionPolicy: Hashable, Sendable {
    /// An open swarm: the secret is enough.
    case open
    /// A closed swarm whose list has not arrived yet: this peer calls others to ask for it and answers its founder only.
    case asking(founder: PeerID)
    /// A closed swarm with its list, the founder on it.
    case closed(Set<PeerID>)

    /// Whether a handshake that this peer began is answered.
    package func answers(_ peer: PeerID) -> Bool {
        switch self {
        case .open: true
        case .asking(let founder): peer == founder
        case .closed(let admitted): admitted.contains(peer)
        }
    }

    /// Whether sessions and streams with this peer may stay.
    package func keeps(_ peer: PeerID) -> Bool {
        switch self {
        case .open, .asking: true
        case .closed(let admitted): admitted.contains(peer)
        }
    }
}
