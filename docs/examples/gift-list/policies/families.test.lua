-- hookwire policy test docs/examples/gift-list/policies

local alice = { user_id = "alice", tenant_id = "shopping", claims = { families = { "family-123" }, role = "parent", name = "Alice" } }
local bob = { user_id = "bob", tenant_id = "shopping", claims = { families = { "family-123" }, role = "parent", name = "Bob" } }
local nobody = { user_id = "eve", tenant_id = "shopping", claims = {} }
local back_end = { user_id = "gift-list", tenant_id = "shopping", claims = { role = "service" } }

-- Something happened to a gift on Alice's list.
local function on_alices_list(event, payload)
	return { topic = "gift-list:family-123", event = event, data = { entity_id = "gift-1", payload = payload, user_id = "bob", owner_id = "alice" } }
end

local reserved = { id = "gift-1", name = "Shears", status = "reserved", reserved_by = "bob", version = 2 }
local as_wanted = { id = "gift-1", name = "Shears", status = "wanted", version = 2 }

return {
	session = alice,
	topic = "gift-list:family-123",

	case { name = "people follow their family's lists", ask = "subscribe", expect = "allow" },
	case { name = "and see who else does", ask = "presence", expect = "allow" },
	case { name = "no other family's", ask = "subscribe", topic = "gift-list:family-456", expect = "deny", code = "forbidden_topic" },
	case { name = "nor who looks at those", ask = "presence", topic = "gift-list:family-456", expect = "deny", code = "forbidden_topic" },
	case { name = "a name that begins alike is another one", ask = "subscribe", topic = "gift-list:family-12", expect = "deny" },
	case { name = "nor all of them at once", ask = "wildcard", topic = "gift-list:*", expect = "defer" },
	case { name = "who has no family follows none", ask = "subscribe", session = nobody, expect = "deny" },
	case { name = "people follow what is for them", ask = "subscribe", topic = "user:alice", expect = "allow" },
	case { name = "and for nobody else", ask = "subscribe", topic = "user:bob", expect = "deny" },
	case { name = "a family's name opens no other resource", ask = "subscribe", topic = "order:family-123", expect = "deny" },

	case { name = "the back end publishes, for whoever clicked", ask = "publish", session = back_end, expect = "allow", act_as = true },
	case { name = "people do not", ask = "publish", expect = "deny", code = "forbidden_topic", message = "only the back end publishes" },
	case { name = "the back end follows nothing", ask = "subscribe", session = back_end, expect = "deny" },

	case { name = "Alice does not hear that something for her is reserved", ask = "see", event = on_alices_list("STATUS_CHANGED", reserved), expect = "drop" },
	case { name = "Bob does, and by whom", ask = "see", session = bob, event = on_alices_list("STATUS_CHANGED", reserved), expect = "allow", changed = false },
	case {
		name = "Alice hears of a new name, and not that it is reserved",
		ask = "see",
		event = on_alices_list("UPDATED", reserved),
		expect = "allow",
		changed = on_alices_list("UPDATED", as_wanted),
	},
	case { name = "Bob hears all of it", ask = "see", session = bob, event = on_alices_list("UPDATED", reserved), expect = "allow", changed = false },
	case {
		name = "Alice hears that something is gone",
		ask = "see",
		event = on_alices_list("DELETED", { id = "gift-1", list_id = "alice-birthday" }),
		expect = "allow",
		changed = false,
	},
	case { name = "an event without a payload is left alone", ask = "see", event = on_alices_list("UPDATED", nil), expect = "allow", changed = false },
}
