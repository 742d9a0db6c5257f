package im

// Settings of a link that several networks have, for each that lists them. The box
// itself obeys Reactions, Joins, Wait and Absence.
const (
	Reactions = "reactions"
	Joins     = "joins"
	Wait      = "wait"
	Absence   = "away"
	History   = "history"
	// OwnPicture, "yes": the network gets the picture that the account shows in its client.
	OwnPicture = "picture"
)

// Closed is the value of Absence for a link that is closed while nobody is signed in.
const Closed = "closed"

// ShowReactions and ShowJoins are how a network lists them.
func ShowReactions() Field {
	return Field{Key: Reactions, Label: "Show reactions", Help: "Whether a line tells who reacted to a message, and how.", Default: "yes", Choices: []string{"yes", "no"}}
}

// ShowJoins is the other.
func ShowJoins() Field {
	return Field{Key: Joins, Label: "Show who is in a room", Help: "Whether members of small rooms join the conversation and leave it; without, their names go before what they say.",
		Default: "yes", Choices: []string{"yes", "no"}}
}

// WaitDays is how a network lists how long messages wait for it.
func WaitDays() Field {
	return Field{Key: Wait, Label: "How long messages wait", Help: "For how many days what you write is kept while the network can't be reached. Then it is given up, and you are told.",
		Default: "7", Choices: []string{"1", "3", "7", "14", "30"}}
}

// WhenAway is how a network lists what is to be of a link while nobody is signed in.
func WhenAway() Field {
	return Field{Key: Absence, Label: "While nobody is signed in", Help: "offline: contacts see you off-line, and what comes is fetched. closed: the link is closed, and what comes waits on the network.",
		Default: "offline", Choices: []string{"offline", Closed}}
}

// ShowPicture is how a network lists whether an account of the user's own gets the picture
// of his client.
func ShowPicture() Field {
	return Field{Key: OwnPicture, Label: "Publish the picture", Help: "The picture that you have in Messenger becomes that of the account, in your other apps too.",
		Default: "no", Choices: []string{"no", "yes"}}
}
