/// The local API's addresses, shared by server and client.
package enum ControlPath: String, Sendable, CaseIterable {
    case status = "/v1/status"
    case peers = "/v1/peers"
    case admissions = "/v1/members"
    case admit = "/v1/members/admit"
    case revoke = "/v1/members/revoke"
    case graph = "/v1/graph"
    case ping = "/v1/ping"
    case probe = "/v1/probe"
    case plan = "/v1/plan"
    case train = "/v1/train"
    case shards = "/v1/shards"
    case addShard = "/v1/shards/add"
    case fetchShard = "/v1/shards/get"
    case leave = "/v1/leave"
    case shutdown = "/v1/shutdown"
    case metrics = "/metrics"
}
