package import Primitives
package import Wire

/// What the shell tells an `OverlayNode`.
package enum OverlayInput: Sendable {
    /// Begin: join the swarm through any of these, or be its first peer if there are none.
    case start(known: [Contact])
    /// A contact that became known later, as by LAN discovery.
    case discovered(Contact)
    /// A payload that a session has authenticated, handled at the instant at which it came to this machine, and how long ago that
    /// was: a busy machine reads late.
    case datagram([UInt8], from: PeerID, held: Duration = .zero)
    /// The instant of `nextDeadline` has come.
    case timer
    /// What the last input made this peer send leaves only now; told where `hasFreshEchoes` asks for it.
    case left
    /// A session with the peer is up; it was last heard from at this address.
    case sessionEstablished(PeerID, NetworkAddress)
    /// No session with the peer could be made.
    case sessionFailed(PeerID)
    /// Sign and spread a new version of an own entry; an empty value withdraws it.
    case publish(EntryKey, value: [UInt8])
    /// This peer is reachable at these addresses from now on.
    case setAddresses([NetworkAddress])
    /// Say goodbye to everybody. The core sends nothing afterwards.
    case leave
    /// Measure the link to a peer now, at a person's or planner's request.
    case measure(PeerID)
    /// Measure what other traffic leaves free to and from a peer, at a person's request.
    case measureAvailable(PeerID)
    /// Ask a peer to measure its link to another one, which a plan leans on.
    case ask(PeerID, target: PeerID)
    /// Real streams carried this to a peer since the last sample of it.
    case delivered(PeerID, DeliverySample)
    /// One round trip now; answered by `OverlayEvent.pinged`.
    case ping(PeerID)
    /// The founder of a closed swarm admits or revokes a peer.
    case decide(AdmissionStatement)
    /// A peer has answered a handshake with "not admitted".
    case refused(by: PeerID)
    /// A handshake of a peer that is not admitted was refused here.
    case knocked(PeerID)
}

/// What an `OverlayNode` wants done, in order.
package enum OverlayEffect: Sendable {
    /// Send the payload in one datagram of the session with the peer.
    case send([UInt8], to: PeerID)
    /// The peer may be reached like this: what a session needs before it can be opened.
    case learn(Contact)
    /// The peer left a probe without an answer: if there is a session with it, make new keys, for it may have restarted and
    /// lost its own.
    case renewSession(PeerID)
    /// The peer is gone for good: its session and contact may be dropped.
    case forget(PeerID)
    /// Answer and keep only the peers of this policy.
    case restrict(AdmissionPolicy)
    /// Something that people, logs and other rooms want to know.
    case event(OverlayEvent)
}

/// What happened, for people, logs and other rooms.
package enum OverlayEvent: Hashable, Sendable {
    /// The first complete member list has arrived; this many peers are live, with this one.
    case joined(members: Int)
    /// A peer that was unknown, dead or gone is alive.
    case memberUp(PeerID)
    /// A live peer's record has changed: new addresses, or it refuted a suspicion.
    case memberUpdated(PeerID)
    /// A peer is suspected by an accuser.
    case memberSuspected(PeerID, by: PeerID)
    /// A suspicion was not refuted in time.
    case memberDown(PeerID)
    /// A peer said goodbye.
    case memberLeft(PeerID)
    /// This peer was accused and refuted it with a new incarnation.
    case refuted(accuser: PeerID)
    /// A record of this peer's former life, with a higher incarnation, was outbid: its clock was set back since.
    case formerLifeOutbid(incarnation: UInt64)
    /// Somebody signs records with this peer's identity, which is in use twice; these are the other's addresses. Told
    /// again and again while it lasts, at most once each `outbiddingInterval`.
    case identityConflict(incarnation: UInt64, addresses: [NetworkAddress])
    /// Two processes seem to sign records with another member's identity in turn.
    case identityUsedTwice(PeerID)
    /// A newer version of an entry is stored; also for own entries.
    case entryUpdated(owner: PeerID, EntryKey)
    /// A peer sent something that only a liar or a broken peer sends; told once in a while for each peer.
    case misbehaviour(PeerID, OverlayDrop)
    /// A peer signed two values for one version of an entry.
    case equivocation(owner: PeerID, EntryKey)
    /// An own value is too large to be spread and was not published.
    case publishRefused(EntryKey, byteCount: Int)
    /// The snapshot has changed: a live entry or the set of live members.
    case graphChanged
    /// A link was measured, or could not be.
    case probing(Probing.Event)
    /// Answer to `OverlayInput.ping`; `nil` if there was no answer in time.
    case pinged(PeerID, roundTrip: Duration?)
    /// The closed swarm does not admit this peer; told once until that changes.
    case notAdmitted
    /// The closed swarm's list has a newer page: it is to be kept on disk.
    case admissionChanged
    /// A peer's admission was revoked.
    case revoked(PeerID)
}
