import Primitives

/// Every bound on what a peer may send, in one place. NETWORK.md lists them.
package enum Limits {
    // MARK: Datagrams

    /// Largest UDP payload, safe on every path without discovery (IPv6's 1,280-byte minimum less headers and room).
    package static let datagramBytes = 1200
    /// Type, version, reserved, receiver index, counter and tag around the plaintext of a transport datagram.
    package static let transportOverheadBytes = 32
    /// Plaintext that fits in one transport datagram.
    package static let datagramPayloadBytes = datagramBytes - transportOverheadBytes

    // MARK: Swarm and records

    /// UTF-8 bytes in a swarm's or peer's name.
    package static let nameBytes = 64
    /// Addresses in a peer record.
    package static let addressesPerRecord = 8
    /// Bootstrap peers in a ticket.
    package static let bootstrapPeersPerTicket = 8

    // MARK: Membership and gossip

    /// Members that a peer keeps; further ones are dropped and counted.
    package static let members = 16_384
    /// Statements that a peer keeps to be sent on, of membership and of gossip each.
    package static let queuedStatements = 1024
    /// Bytes of a gossip value: with its headers it has to fit in one datagram.
    package static let entryDatagramValueBytes = 960
    /// Entries of one owner.
    package static let entriesPerOwner = 64
    /// Links in one links entry.
    package static let linksPerEntry = 48
    /// Peers on one page of a closed swarm's list: 33 bytes each, and a page is one entry.
    package static let admissionsPerPage = 29
    /// Pages of a closed swarm's list, which so has room for 928 peers.
    package static let admissionPages = 32
    /// Peers remembered that knocked without being admitted.
    package static let waitingPeers = 64

    // MARK: Streams

    /// Plaintext in one AEAD record: measured, 95 % of the rate of 256 KiB records at a quarter of their latency.
    package static let recordBytes = 65_536
    /// Body of one stream message; larger things are cut.
    package static let streamMessageBytes = 64 << 20

    // MARK: Shards

    /// Leaf of the Merkle tree.
    package static let leafBytes = 16_384
    /// Unit of request and transfer.
    package static let pieceBytes = 1 << 20
    /// Largest content-addressed file.
    package static let shardBytes: UInt64 = 1 << 40
    /// UTF-8 bytes in a shard's name: the longest file name of the usual file systems.
    package static let shardNameBytes = 255
    /// Pieces of the largest shard.
    package static let piecesPerShard = 1 << 20

    // MARK: Jobs

    /// Layers of a model.
    package static let modelLayers = 4096
    /// Pipelines of a job, and stages of a pipeline.
    package static let pipelinesPerJob = 1024
    /// Micro-batches of one training step, and batches of one validation.
    package static let microBatchesPerStep = 65_536
    /// Encoded payload of one tensor message; leaves room for its header in a stream message.
    package static let tensorBytes = streamMessageBytes - 4096
    /// Elements of one tensor message (one byte each in the densest codec).
    package static let tensorElements = 64 << 20
    /// Encoded plan inside a job's preparation.
    package static let planBytes = 1 << 20
    /// Parts of a checkpoint: every segment of layers, and the tied embedding.
    package static let checkpointParts = modelLayers + 1
    /// Holders named for one checkpoint part.
    package static let holdersPerPart = 64
    /// UTF-8 bytes of a reason given for an end.
    package static let reasonBytes = 1024
}
