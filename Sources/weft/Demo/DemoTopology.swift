import Foundation
import Runtime

/// The network on which `weft demo` plays: a file's, or the one built in.
enum DemoTopology {
    /// The same as `Examples/demo-topology.json`, so that the program needs no file beside it.
    static let builtIn = """
        {
          "format": "weft.topology/1",
          "description": "Two server sites of three peers each and two laptops at home.",
          "sites": [
            {"name": "north", "inside": {"megabits": 200, "delayMilliseconds": 1}},
            {"name": "south", "inside": {"megabits": 200, "delayMilliseconds": 1}},
            {"name": "home-ada", "inside": {"megabits": 100, "delayMilliseconds": 1}},
            {"name": "home-ben", "inside": {"megabits": 100, "delayMilliseconds": 1}}
          ],
          "links": [
            {"between": ["north", "south"], "path": {"megabits": 100, "delayMilliseconds": 20, "jitterMilliseconds": 0.5}},
            {"between": ["north", "home-ada"], "path": {"megabits": 100, "delayMilliseconds": 15, "jitterMilliseconds": 1}},
            {"between": ["south", "home-ada"], "path": {"megabits": 100, "delayMilliseconds": 25, "jitterMilliseconds": 1}},
            {"between": ["north", "home-ben"], "path": {"megabits": 100, "delayMilliseconds": 30, "jitterMilliseconds": 1}},
            {"between": ["south", "home-ben"], "path": {"megabits": 100, "delayMilliseconds": 18, "jitterMilliseconds": 1}}
          ],
          "elsewhere": {"megabits": 50, "delayMilliseconds": 30, "jitterMilliseconds": 1},
          "peers": [
            {"name": "north-1", "site": "north", "upMegabits": 200, "downMegabits": 200},
            {"name": "north-2", "site": "north", "upMegabits": 200, "downMegabits": 200},
            {"name": "north-3", "site": "north", "upMegabits": 200, "downMegabits": 200},
            {"name": "south-1", "site": "south", "upMegabits": 200, "downMegabits": 200},
            {"name": "south-2", "site": "south", "upMegabits": 200, "downMegabits": 200},
            {"name": "south-3", "site": "south", "upMegabits": 200, "downMegabits": 200},
            {"name": "ada", "site": "home-ada", "upMegabits": 20, "downMegabits": 50},
            {"name": "ben", "site": "home-ben", "upMegabits": 20, "downMegabits": 50}
          ]
        }
        """

    /// Reads the file, or takes the built-in network.
    static func load(_ path: String?) throws -> TopologyFile {
        if let path { return try TopologyFile.load(path) }
        let topology = try JSONDecoder().decode(TopologyFile.self, from: Data(builtIn.utf8))
        try topology.check()
        return topology
    }
}
