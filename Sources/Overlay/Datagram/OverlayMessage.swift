package import Wire

/// Any message that may stand in an overlay datagram; the type byte says whose it is.
package enum OverlayMessage: Hashable, Sendable {
    case membership(MembershipMessage)
    case addresses(AddressMessage)
    case gossip(GossipMessage)
    case probing(ProbingMessage)
    case admission(AdmissionMessage)

    /// Whether it is about a closed swarm's list.
    var isAboutAdmission: Bool { if case .admission = self { true } else { false } }

    /// All messages of a payload. Throws if anything in it is malformed: the sender is authenticated, so a bad payload is
    /// a defect of the sender and nothing of it is trusted.
    package static func decode(_ payload: [UInt8]) throws(WireError) -> [OverlayMessage] {
        var reader = WireReader(payload)
        var messages: [OverlayMessage] = []
        while reader.remaining > 0 {
            let type: UInt8 = try reader.read()
            switch type {
            case AddressMessage.types: messages.append(.addresses(try AddressMessage(type: type, from: &reader)))
            case MembershipMessage.types: messages.append(.membership(try MembershipMessage(type: type, from: &reader)))
            case GossipMessage.types: messages.append(.gossip(try GossipMessage(type: type, from: &reader)))
            case ProbingMessage.types: messages.append(.probing(try ProbingMessage(type: type, from: &reader)))
            case AdmissionMessage.types: messages.append(.admission(try AdmissionMessage(type: type, from: &reader)))
            default: throw .unknownType(type)
            }
        }
        return messages
    }
}
