import Primitives
import TestSupport
import Testing

/// X25519 against RFC 7748, sections 5.2 and 6.1.
@Suite struct AgreementTests {
    /// Empty where there is no shared secret.
    private func product(_ key: borrowing AgreementKey, _ other: AgreementPublicKey) -> [UInt8] {
        guard let shared = key.sharedSecret(with: other) else { return [] }
        return shared.withUnsafeBytes { Array($0) }
    }

    private func multiply(_ scalar: [UInt8], _ point: [UInt8]) throws -> [UInt8] {
        let key = try agreementKey(scalar)
        let other = try #require(AgreementPublicKey(bytes: point))
        return product(key, other)
    }

    @Test(arguments: [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"
        ),
    ]) func matchesThePublishedProduct(scalar: String, point: String, product: String) throws {
        #expect(try multiply(bytes(scalar), bytes(point)).hex == product)
    }

    @Test func matchesThePublishedIteration() throws {
        var scalar: [UInt8] = [9] + [UInt8](repeating: 0, count: 31)
        var point = scalar
        for round in 1...1000 {
            let product = try multiply(scalar, point)
            point = scalar
            scalar = product
            if round == 1 {
                #expect(scalar.hex == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
            }
        }
        #expect(scalar.hex == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
    }

    @Test func bothSidesAgree() throws {
        let alice = try agreementKey(
            bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
        let bob = try agreementKey(
            bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        let alicePublic = alice.publicKey
        let bobPublic = bob.publicKey
        #expect(alicePublic.bytes.hex == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        #expect(bobPublic.bytes.hex == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let one = product(alice, bobPublic)
        let other = product(bob, alicePublic)
        #expect(one == other)
        #expect(one.hex == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    }

    /// The points of small order that RFC 7748, section 6.1, warns of: the product would be zero for every secret.
    @Test(arguments: [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]) func refusesPointsOfSmallOrder(point: String) throws {
        #expect(try multiply([UInt8](repeating: 0x42, count: 32), bytes(point)).isEmpty)
    }
}
