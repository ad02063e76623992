/// A handshake pattern of the Noise Protocol Framework (revision 34, section 7), as far as Weft and its vectors use them.
package struct HandshakePattern: Sendable {
    /// One step of a message: a key to send or a secret to mix in.
    package enum Token: Sendable {
        /// Send an ephemeral or a static public key.
        case e, s
        /// Mix a Diffie-Hellman result: the first letter is the initiator's key, the second the responder's.
        case ee, es, se, ss
        /// Mix the pre-shared key.
        case psk
    }

    /// The pattern's name with its modifiers, as in "IKpsk2".
    package let name: String
    /// Whether the responder knows the initiator's static key beforehand.
    package let initiatorIsKnown: Bool
    /// Whether the initiator knows the responder's static key beforehand.
    package let responderIsKnown: Bool
    /// The messages in turn, the initiator's first.
    package let messages: [[Token]]

    /// Whether any message mixes a pre-shared key; ephemeral public keys are then mixed into the key too (section 9.2).
    package var usesPresharedKey: Bool { messages.contains { $0.contains(.psk) } }

    /// Who sends first is told apart from who answers.
    package enum Role: Sendable { case initiator, responder }

    package static let nk = HandshakePattern(
        name: "NK", initiatorIsKnown: false, responderIsKnown: true, messages: [[.e, .es], [.e, .ee]])
    package static let kk = HandshakePattern(
        name: "KK", initiatorIsKnown: true, responderIsKnown: true, messages: [[.e, .es, .ss], [.e, .ee, .se]])
    package static let ik = HandshakePattern(
        name: "IK", initiatorIsKnown: false, responderIsKnown: true, messages: [[.e, .es, .s, .ss], [.e, .ee, .se]])
    package static let ikpsk1 = HandshakePattern(
        name: "IKpsk1", initiatorIsKnown: false, responderIsKnown: true,
        messages: [[.e, .es, .s, .ss, .psk], [.e, .ee, .se]])
    /// The pattern of every Weft session and stream.
    package static let ikpsk2 = HandshakePattern(
        name: "IKpsk2", initiatorIsKnown: false, responderIsKnown: true,
        messages: [[.e, .es, .s, .ss], [.e, .ee, .se, .psk]])
    package static let xx = HandshakePattern(
        name: "XX", initiatorIsKnown: false, responderIsKnown: false, messages: [[.e], [.e, .ee, .s, .es], [.s, .se]])

    /// All of them, for tests.
    package static let all: [HandshakePattern] = [.nk, .kk, .ik, .ikpsk1, .ikpsk2, .xx]
}
