import Primitives
import TestSupport
import Testing

/// SHA-256 (FIPS 180-4), HMAC (RFC 4231) and HKDF built from it (RFC 5869).
@Suite struct HashTests {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ]) func digestMatchesFIPS180(text: String, expected: String) {
        #expect(Digest.sha256(Array(text.utf8)).bytes.hex == expected)
        #expect(Digest.sha256(text.utf8).bytes.hex == expected, "a collection that is not an array")
    }

    @Test func digestOfPartsIsThatOfTheWhole() {
        let whole = [UInt8](repeating: 0x61, count: 1_000_000)
        let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        #expect(Digest.sha256(whole).bytes.hex == expected)
        var builder = DigestBuilder()
        var position = 0
        var size = 1
        while position < whole.count {
            builder.update(whole[position..<min(position + size, whole.count)])
            position += size
            size = size * 3 % 4099
        }
        #expect(builder.finish().bytes.hex == expected)
        #expect(whole.withUnsafeBytes { Digest.sha256($0) }.bytes.hex == expected)
    }

    @Test(arguments: [
        (
            String(repeating: "0b", count: 20), "4869205468657265",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            String(repeating: "aa", count: 131),
            "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b657920"
                + "4669727374",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ]) func keyedHashMatchesRFC4231(key: String, message: String, expected: String) {
        #expect(KeyedHash.hmac(key: bytes(key), bytes(message)).hex == expected)
        let secret = SecretBytes(copying: bytes(key))
        let made = KeyedHash.hmac(key: secret, bytes(message))
        #expect(made.hex == expected)
    }

    /// Test case 1: extract and expand are three HMACs, as Noise uses them.
    @Test func keyedHashMakesRFC5869() {
        let pseudorandomKey = KeyedHash.hmac(
            key: bytes("000102030405060708090a0b0c"), [UInt8](repeating: 0x0B, count: 22))
        #expect(pseudorandomKey.hex == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
        let context = bytes("f0f1f2f3f4f5f6f7f8f9")
        let first = KeyedHash.hmac(key: pseudorandomKey, context + [1])
        let second = KeyedHash.hmac(key: pseudorandomKey, first + context + [2])
        #expect(
            (first + second).prefix(42).hex
                == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    }

    @Test func subkeysDifferByPurposeAndContext() {
        let key = SecretBytes(copying: Array(0..<32))
        func subkey(_ purpose: String, _ context: [UInt8] = []) -> [UInt8] {
            KeyedHash.subkey(of: key, purpose: purpose, context: context).withUnsafeBytes { Array($0) }
        }
        let all = [subkey("mac"), subkey("psk"), subkey("mac", [0]), subkey("mac", [0, 0])]
        #expect(Set(all).count == all.count)
        #expect(subkey("mac") == KeyedHash.hmac(key: Array(0..<32), Array("weft mac".utf8)))
    }
}
