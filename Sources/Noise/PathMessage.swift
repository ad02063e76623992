/// Payloads of the session layer itself, which the protocols above never see: nine bytes, a type and a token.
package enum PathMessage: Hashable, Sendable {
    case challenge([UInt8])
    case response([UInt8])

    package static let tokenByteCount = 8
    private static let challengeType: UInt8 = 0xF0
    private static let responseType: UInt8 = 0xF1

    package var bytes: [UInt8] {
        switch self {
        case .challenge(let token): [Self.challengeType] + token
        case .response(let token): [Self.responseType] + token
        }
    }

    /// `nil` if the payload is for the protocols above.
    package init?(_ payload: [UInt8]) {
        guard payload.count == 1 + Self.tokenByteCount else { return nil }
        switch payload[0] {
        case Self.challengeType: self = .challenge(Array(payload[1...]))
        case Self.responseType: self = .response(Array(payload[1...]))
        default: return nil
        }
    }
}
