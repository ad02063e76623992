import Primitives
import Runtime
import Testing

/// Settings become a configuration, addresses are read as people write them.
@Suite struct NodeConfigurationTests {
    private let state = StateDirectory(path: "/tmp/weft-unused")

    @Test(arguments: [
        ("192.0.2.1:5", "192.0.2.1:5"), ("192.0.2.1", "192.0.2.1:7600"), ("[2001:db8::1]:5", "[2001:db8::1]:5"),
        ("2001:db8::1", "[2001:db8::1]:7600"), (":5", "0.0.0.0:5"), ("localhost:5", "127.0.0.1:5"),
    ]) func addressesAreRead(text: String, expected: String) throws {
        let address = try AddressText.resolve(text, defaultPort: 7600)
        #expect(address.description == expected || (text.hasPrefix("localhost") && address.isLoopback))
    }

    @Test(arguments: ["192.0.2.1:port", "192.0.2.1:70000", "no such host.invalid:1", "a:b:c:1"])
    func otherTextIsRefused(_ text: String) {
        #expect(throws: AddressError.self) { try AddressText.resolve(text, defaultPort: 7600) }
    }

    @Test func settingsBecomeAConfiguration() throws {
        let configuration = try NodeConfiguration(
            state: state,
            settings: NodeSettings(name: "loom", listen: "127.0.0.1:9", advertise: ["192.0.2.7:10"], discovery: false),
            bootstrap: [], version: "1")
        #expect(configuration.name == "loom" && !configuration.discovery && configuration.coordinator)
        #expect(
            configuration.reachableAddresses(bound: configuration.listen).map(\.description)
                == ["192.0.2.7:10", "127.0.0.1:9"])
        #expect(throws: (any Error).self) {
            try NodeConfiguration(
                state: state, settings: NodeSettings(name: "a\nb"), bootstrap: [], version: "1")
        }
    }

    @Test func listeningEverywhereGivesOutTheInterfaces() throws {
        let configuration = try NodeConfiguration(
            state: state, settings: NodeSettings(name: "loom"), bootstrap: [], version: "1")
        #expect(configuration.listen.isUnspecified && configuration.listen.port == 7600)
        let addresses = configuration.reachableAddresses(bound: configuration.listen)
        #expect(!addresses.isEmpty)
        #expect(addresses.allSatisfy { !$0.isUnspecified && $0.port == 7600 }, "\(addresses)")
    }
}
