// The parts of the JSON contract that the tests read, written again here on purpose: a key that is renamed breaks them
// as it would break a user's script.

struct StatusView: Decodable, Sendable {
    struct Traffic: Decodable, Sendable {
        let datagramsDropped: UInt64
        let streamBytesReceived: UInt64
    }

    let peer: String
    let name: String
    let swarm: String
    let processID: Int32
    let listenAddress: String
    let alivePeers: Int
    let knownPeers: Int
    let graphDigest: String
    let measuredLinks: Int
    let totalLinks: Int
    let traffic: Traffic
    let addresses: [String]
    let observedAddresses: [String]
    let natKind: String
    let identityConflict: IdentityConflict?
    let identitiesUsedTwice: [String]

    struct IdentityConflict: Decodable, Sendable {
        let count: Int
        let lastSeenSeconds: Double
        let otherAddresses: [String]
    }
}

struct PeersView: Decodable, Sendable { let peers: [PeerView] }

struct PeerView: Decodable, Sendable {
    let peer: String
    let name: String
    let state: String
    let isSelf: Bool
    let address: String?
    let roundTripSeconds: Double?
    let incarnation: UInt64
}

struct GraphView: Decodable, Sendable {
    struct Peer: Decodable, Sendable {
        let peer: String
        let name: String
    }

    struct Link: Decodable, Sendable {
        let from: String
        let to: String
        let roundTripSeconds: Double?
        let roundTripSource: String
        let bandwidthBytesPerSecond: Double?
        let bandwidthSource: String
    }

    let digest: String
    let peers: [Peer]
    let links: [Link]
}

struct PlanView: Decodable, Sendable {
    struct Objective: Decodable, Sendable {
        let name: String
        let seconds: Double
        let parts: [String: Double]
    }

    struct Assignment: Decodable, Hashable, Sendable {
        let peer: String
        let name: String
        let stage: Int
        let firstLayer: Int
        let layerCount: Int
        let microBatches: Int
    }

    let objective: Objective
    let lowerBoundSeconds: Double
    let seed: UInt64
    let elapsedSeconds: Double
    let graphDigest: String
    let pipelines: [[Assignment]]
    let spares: [String]
}

/// One line of `weft train --json`; which fields are there depends on `event`.
struct TrainEventView: Decodable, Sendable {
    let event: String
    let step: Int?
    let steps: Int?
    let lossBits: String?
    let loss: Double?
    let validationLoss: Double?
    let unigramLoss: Double?
    let message: String?
    let path: String?
    let checkpointPath: String?
    let stages: Int?
    let replicas: Int?
    let pipelines: [[PlanView.Assignment]]?
}
