import Primitives
import TestSupport
import Testing

/// Ed25519 against RFC 8032, section 7.1, and our framing against an independent implementation.
@Suite struct SignatureTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let seed: String
        let publicKey: String
        let message: String
        let signature: String
    }

    static let rfc8032 = [
        Vector(
            testDescription: "TEST 1", seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            publicKey: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", message: "",
            signature: """
                e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155
                5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b
                """),
        Vector(
            testDescription: "TEST 2", seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", message: "72",
            signature: """
                92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
                085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00
                """),
        Vector(
            testDescription: "TEST 3", seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            publicKey: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", message: "af82",
            signature: """
                6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
                18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a
                """),
    ]

    @Test(arguments: rfc8032) func matchesThePublishedVector(_ vector: Vector) throws {
        let key = try identityKey(bytes(vector.seed))
        let peer = key.peer
        #expect(peer.bytes.hex == vector.publicKey)
        let signature = key.signExactly(bytes(vector.message))
        #expect(signature == bytes(vector.signature))
        #expect(peer.verifyExactly(signature, of: bytes(vector.message)))
    }

    /// Made with Python's cryptography: Ed25519 over context, zero byte, message.
    @Test(arguments: [
        (
            "", "",
            "d45bd436eca8cf5deec21c0da72226f03aa29cabccce352c6740fba7c61267c8057328c52ef100e5bc02356fe2d4c53a1424116ce6a1"
                + "cf77b4480fe3a905f90e"
        ),
        (
            "72", "peer record 1",
            "5e791399ba7abbbd21cf01bb32f63145ee1b21528713ec7deddcbddc1832a0a5124348140d0f77451b4cd2eede6be3ed4cf1409c2eb4"
                + "13509f4de053ea3cd305"
        ),
        (
            "af82", "entry 1",
            "be646f6acae072b925a30f9517ad8c1fcc5a8da2781c4d16cb6876a6bb7863622ed2b8cee53843897331585b6d1eabf166dffe962a9b"
                + "0f533c606d26df781409"
        ),
    ]) func signsContextAndMessage(message: String, context: String, expected: String) throws {
        let key = try identityKey(Array(0..<32))
        #expect(key.sign(bytes(message), context: context).hex == expected)
    }

    @Test func refusesEveryOtherContextMessageAndSigner() throws {
        let key = try identityKey(Array(0..<32))
        let other = try identityKey(Array(1..<33)).peer
        let peer = key.peer
        let message: [UInt8] = [1, 2, 3]
        var signature = key.sign(message, context: "a")
        #expect(peer.verify(signature, of: message, context: "a"))
        #expect(!peer.verify(signature, of: message, context: "b"))
        #expect(!peer.verify(signature, of: [1, 2, 4], context: "a"))
        #expect(!other.verify(signature, of: message, context: "a"))
        #expect(!peer.verify(Array(signature.dropLast()), of: message, context: "a"))
        for position in signature.indices {
            signature[position] ^= 1
            #expect(!peer.verify(signature, of: message, context: "a"), "bit 0 of byte \(position) was changed")
            signature[position] ^= 1
        }
    }

    @Test func aSeedHas32Bytes() {
        for count in [0, 31, 33, 64] {
            let made = IdentityKey(seed: SecretBytes(copying: [UInt8](repeating: 7, count: count))) != nil
            #expect(!made, "\(count) bytes")
        }
    }
}
