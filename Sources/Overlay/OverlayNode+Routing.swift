internal import Primitives
internal import Wire

/// Carries what one sub-core wants to the others and to the shell. Which sub-core hears what of whom stands here and nowhere
/// else.
extension OverlayNode {
    /// Effects of the sub-cores on their way, and what goes to the shell.
    struct Routed {
        var membership: [Membership.Effect] = []
        var gossip: [Gossip.Effect] = []
        var probing: [Probing.Effect] = []
        var admission: [Admission.Effect] = []
        var addresses: [Addresses.Effect] = []
        var effects: [OverlayEffect] = []
        var graphChanged = false
    }

    mutating func route(_ routed: inout Routed, at now: Instant, into effects: inout [Effect]) {
        routeAdmission(&routed, at: now)
        routeMembership(&routed, at: now)
        routeAddresses(&routed, at: now)
        routeProbing(&routed, at: now)
        routeGossip(&routed)
        effects += routed.effects
        if routed.graphChanged { effects.append(.event(.graphChanged)) }
    }

    mutating func routeAdmission(_ routed: inout Routed, at now: Instant) {
        let pending = routed.admission
        routed.admission.removeAll(keepingCapacity: true)
        for effect in pending {
            switch effect {
            case .send(let messages, let peer): outbox.add(messages.map(\.datagramBytes), to: peer)
            case .learn(let contact): routed.effects.append(.learn(contact))
            case .renewSession(let peer): routed.effects.append(.renewSession(peer))
            case .opened(let known):
                membership.handle(.start(known: known), at: now, into: &routed.membership)
            case .restrict(let policy):
                membership.handle(.restrict(policy), at: now, into: &routed.membership)
                routed.effects.append(.restrict(policy))
            case .expel(let peer):
                membership.handle(.expel(peer), at: now, into: &routed.membership)
                routed.effects.append(.event(.revoked(peer)))
            case .event(let event): routed.effects.append(.event(event))
            }
        }
    }

    mutating func routeMembership(_ routed: inout Routed, at now: Instant) {
        let pending = routed.membership
        routed.membership.removeAll(keepingCapacity: true)
        for effect in pending {
            switch effect {
            case .send(let messages, let peer):
                outbox.add(messages.map(\.datagramBytes), to: peer)
                if messages.contains(where: \.isPingOrAck) { outbox.add([gossip.rootMessage.datagramBytes], to: peer) }
            case .spread(let peer, let datagrams): outbox.push(to: peer, datagrams: datagrams)
            case .learn(let contact):
                noteSite(of: contact.peer, at: now, &routed)
                routed.effects.append(.learn(contact))
            case .forget(let peer):
                gossip.handle(.memberForgotten(peer), at: now, into: &routed.gossip)
                addresses.handle(.memberForgotten(peer), at: now, into: &routed.addresses)
                routed.effects.append(.forget(peer))
            case .renewSession(let peer): routed.effects.append(.renewSession(peer))
            case .roundTrip(let peer, let duration):
                probing.handle(.roundTrip(peer, duration), at: now, into: &routed.probing)
            case .probeLost(let peer): probing.handle(.probeLost(peer), at: now, into: &routed.probing)
            case .event(let event):
                switch event {
                case .memberUp(let peer):
                    admission.handle(.memberUp(peer), at: now, into: &routed.admission)
                    gossip.handle(.memberUp(peer), at: now, into: &routed.gossip)
                    probing.handle(
                        .memberUp(peer, others: membership.liveCount - 1), at: now, into: &routed.probing)
                    addresses.handle(.memberUp(peer), at: now, into: &routed.addresses)
                    routed.graphChanged = true
                case .memberDown(let peer), .memberLeft(let peer):
                    admission.handle(.memberDown(peer), at: now, into: &routed.admission)
                    gossip.handle(.memberDown(peer), at: now, into: &routed.gossip)
                    probing.handle(
                        .memberDown(peer, others: membership.liveCount - 1), at: now, into: &routed.probing)
                    addresses.handle(.memberDown(peer), at: now, into: &routed.addresses)
                    routed.graphChanged = true
                default: break
                }
                routed.effects.append(.event(event))
            }
        }
    }

    /// Tells probing whether a peer is a member behind the same address translator and access link as this one.
    mutating func noteSite(of other: PeerID, at now: Instant, _ routed: inout Routed) {
        guard other != peer, !addresses.observed.isEmpty || probing.hasSiblings else { return }
        let member = membership.member(other).flatMap { $0.state.isLive ? $0 : nil }
        let isSibling = member.map { addresses.isAtSameSite($0.record.contact) } ?? false
        probing.handle(.sibling(other, isSibling), at: now, into: &routed.probing)
    }

    private mutating func routeAddresses(_ routed: inout Routed, at now: Instant) {
        for case .publish(let published) in routed.addresses {
            membership.handle(.setAddresses(published), at: now, into: &routed.membership)
            for member in membership.members where member.state.isLive {
                noteSite(of: member.peer, at: now, &routed)
            }
        }
        routed.addresses.removeAll(keepingCapacity: true)
        routeMembership(&routed, at: now)
    }

    /// A probing datagram leaves as it is and at once: its size and its distance to the next one are what is measured.
    private mutating func routeProbing(_ routed: inout Routed, at now: Instant) {
        while !routed.probing.isEmpty {
            let pending = routed.probing
            routed.probing.removeAll(keepingCapacity: true)
            for effect in pending { route(effect, at: now, &routed) }
        }
    }

    private mutating func route(_ effect: Probing.Effect, at now: Instant, _ routed: inout Routed) {
        switch effect {
        case .send(let messages, let peer):
            guard admission.policy.keeps(peer) else { return }
            var packer = DatagramPacker()
            for message in messages { packer.append(message.datagramBytes) }
            for payload in packer.finish() { routed.effects.append(.send(payload, to: peer)) }
        case .publishLinks(let page, let value):
            gossip.handle(.publish(.links(page: page), value: value), at: now, into: &routed.gossip)
        case .needMembers: probing.handle(.members(membership.liveOthers), at: now, into: &routed.probing)
        case .find(let prefix):
            guard let peer = membership.liveOther(withPrefix: prefix) else { return }
            probing.handle(.found(peer), at: now, into: &routed.probing)
        case .event(let event): routed.effects.append(.event(.probing(event)))
        }
    }

    private mutating func routeGossip(_ routed: inout Routed) {
        for effect in routed.gossip {
            switch effect {
            case .send(let messages, let peer): outbox.add(messages.map(\.datagramBytes), to: peer)
            case .push(let fanOut, let datagrams):
                for peer in membership.drawNeighbours(fanOut) { outbox.push(to: peer, datagrams: datagrams) }
            case .event(let event):
                if case .entryUpdated = event { routed.graphChanged = true }
                routed.effects.append(.event(event))
            }
        }
        routed.gossip.removeAll(keepingCapacity: true)
    }
}

extension MembershipMessage {
    /// Whether the message is part of the regular heartbeat, on which the gossip root rides.
    fileprivate var isPingOrAck: Bool {
        switch self {
        case .ping, .ack: true
        default: false
        }
    }
}
