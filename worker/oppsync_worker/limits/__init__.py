"""The rate budget of an instance, as the scripts are told of it. The counting itself is `ledger/lua/slots.lua`."""
