-- Who sees what by redact_pii.lua. Run it with: hookwire policy test scripts/policies/redact_pii.lua

local function customer(payload)
	return { topic = "customer:7", event = "UPDATED", data = { entity_id = "c7", payload = payload } }
end
local function as(role)
	return { user_id = "u1", claims = { role = role } }
end

return {
	ask = "see", expect = "allow",
	event = customer { name = "Ann", email = "ann@example.org", phone = "+49 30 123456", card = "4111111111111111",
		address = { city = "Berlin" }, birthday = "2001-02-03" },

	case { name = "an admin sees all of it, byte for byte", session = as("admin"), changed = false },
	case { name = "support sees what helps, and a part of the card", session = as("support"),
		changed = customer { name = "Ann", email = "ann@example.org", phone = "+49 30 123456", card = "…1111", address = { city = "Berlin" } } },
	case { name = "everybody else less", session = as("sales"),
		changed = customer { name = "Ann", email = "a…@example.org", phone = "…3456" } },
	case { name = "who has no role is everybody else", session = { claims = {} },
		changed = customer { name = "Ann", email = "a…@example.org", phone = "…3456" } },
	case { name = "a role that is no text is none", session = { claims = { role = 5 } },
		changed = customer { name = "Ann", email = "a…@example.org", phone = "…3456" } },
	case { name = "several roles are their sum", session = as("sales, admin"), changed = false },
	case { name = "also as a list", session = as { "support", "admin" }, changed = false },

	case { name = "lists and what is in them",
		event = customer { contacts = { { name = "Bo", phone = "+49 30 1" }, { name = "Cy" }, "Di" } },
		changed = customer { contacts = { { name = "Bo" }, { name = "Cy" }, "Di" } } },
	case { name = "what has no part to show goes",
		steps = {
			{ event = customer { email = "not an address" }, changed = customer {} },
			{ event = customer { email = "a@b@example.org" }, changed = customer {} },
			{ event = customer { email = "é@example.org" }, changed = customer {} },
			{ event = customer { email = 5, phone = { "1" } }, changed = customer {} },
			{ event = customer { phone = "1234567" }, changed = customer {} },
			{ event = customer { phone = "１２３４" }, changed = customer {} },
		} },
	case { name = "nothing to hide, nothing changed",
		steps = {
			{ event = customer { name = "Ann" }, changed = false },
			{ event = customer("text"), changed = false },
			{ event = { topic = "customer:7", event = "DELETED", data = { entity_id = "c7" } }, changed = false },
		} },

	case { name = "audits are for admins", event = { topic = "audit:1", event = "ADDED", data = { entity_id = "a1", payload = {} } },
		steps = {
			{ session = as("admin"), expect = "allow" },
			{ session = as("support"), expect = "drop" },
			{ session = { claims = {} }, expect = "drop" },
		} },
}
