import Primitives

/// The bytes of a hex string with free white space; a test's own typing error becomes an empty array.
func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace }.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// Keys are move-only, which the testing macros cannot handle; these throw instead of `#require`.
func identityKey(_ seed: [UInt8]) throws -> IdentityKey {
    guard let key = IdentityKey(seed: SecretBytes(copying: seed)) else { throw UnusableKey() }
    return key
}

func agreementKey(_ secret: [UInt8]) throws -> AgreementKey {
    guard let key = AgreementKey(secret: SecretBytes(copying: secret)) else { throw UnusableKey() }
    return key
}

struct UnusableKey: Error {}
