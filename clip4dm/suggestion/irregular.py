"""Tables of English: words that follow none of the rules in english.py."""

from __future__ import annotations

# Read letter by letter in small letters too; other words of that kind are known by having no vowels.
SPELLED_OUT = frozenset("suv suvs led leds lcd lcds mri mris".split())
# No vowels, and read as words.
READ_AS_WORDS = frozenset("mr mrs ms st shh hmm".split())

# Never a noun, and taken for one by inflect ("us" for the plural of "me").
NO_NOUNS = frozenset(
    "i he she it me him her we us they them you my your his hers its our ours their theirs yours this that these "
    "those as is was has does goes yes always perhaps besides sometimes afterwards towards upwards downwards forwards "
    "backwards outdoors indoors overseas sideways upstairs downstairs across alas sans".split()
)
# Not counted: no plural.
UNCOUNTED = frozenset(
    "butter jewelry luggage golf tennis gymnastics money furniture equipment traffic news chess billiards".split()
)
# One thing, and no singular, or none that is it: their own plural and their own singular.
PAIRS = frozenset(
    "jeans pants trousers shorts tights leggings overalls pajamas pyjamas underpants sweatpants suspenders scissors "
    "pliers tongs tweezers shears binoculars goggles sunglasses eyeglasses clothes blinds stairs fireworks fries "
    "bangs outskirts surroundings headquarters crossroads".split()
)
# Of one thing, though they end as plurals do; those in -ss, and most in -us and -is, are known by that.
ENDS_IN_S = frozenset(
    "atlas bias canvas christmas gas pancreas texas vegas lens chaos news mathematics physics gymnastics athletics "
    "billiards mars sos swiss paris plus cosmos thermos rhinoceros albatros tennis asparagus hummus".split()
)
# -us and -is are singular endings (bus, tennis) but for nouns that end in u and i themselves.
ENDS_IN_U_OR_I = frozenset(
    "menu emu gnu tutu haiku flu guru bayou thou tofu bijou caribou sou zebu ecu ski taxi bikini kiwi khaki safari "
    "alibi tsunami zucchini salami panini martini sushi wasabi yeti spaghetti ravioli broccoli graffiti origami semi "
    "mini maxi deli chili alkali jacuzzi maki pi rabbi tiki wiki samurai corgi okapi houri".split()
)
# Nouns that inflect takes from -ies to -y.
ENDS_IN_IE = frozenset(
    "selfie hippie hoodie smoothie brownie beanie veggie collie genie birdie doggie kiddie bogie".split()
)

# They end as verbs' forms do, and are none, or of another verb than the rule has it.
NO_VERB_FORMS = frozenset(
    "evening morning during nothing something anything everything thing herring pudding ceiling duckling gosling "
    "stocking hundred naked wicked sacred weed seed reed feed steed nosed nursing bred wing king".split()
)
# Verbs whose past is no rule's: the verb, its forms.
IRREGULAR_VERBS = (
    "be am is are was were been; have has had; do does did done; go goes went gone; arise arose arisen; awake awoke "
    "awoken; bear bore borne; beat beaten; become became; begin began begun; bend bent; bet; bind bound; bite bit "
    "bitten; bleed bled; blow blew blown; break broke broken; breed bred; bring brought; build built; burn burnt "
    "burned; burst; buy bought; cast; catch caught; choose chose chosen; cling clung; come came; creep crept; cut; "
    "deal dealt; dig dug; draw drew drawn; dream dreamt dreamed; drink drank drunk; drive drove driven; eat ate "
    "eaten; fall fell fallen; feed fed; feel felt; fight fought; find found; flee fled; fling flung; fly flew flown; "
    "forget forgot forgotten; freeze froze frozen; get got gotten; give gave given; grind ground; grow grew grown; "
    "hang hung hanged; hear heard; hide hid hidden; hit; hold held; hurt; keep kept; kneel knelt kneeled; knit "
    "knitted; know knew known; lay laid; lead led; lean leant leaned; leap leapt leaped; learn learnt learned; leave "
    "left; lend lent; let; lie lay lain; light lit lighted; lose lost; make made; mean meant; meet met; pay paid; "
    "put; quit; read; ride rode ridden; ring rang rung; rise rose risen; run ran; saw sawn sawed; say said; see saw "
    "seen; seek sought; sell sold; send sent; set; sew sewn sewed; shake shook shaken; shear shorn sheared; shed; "
    "shine shone shined; shoot shot; show shown showed; shrink shrank shrunk; shut; sing sang sung; sink sank sunk; "
    "sit sat; sleep slept; slide slid; sling slung; sow sown sowed; speak spoke spoken; speed sped; spend spent; "
    "spill spilt spilled; spin spun; spit spat; split; spread; spring sprang sprung; stand stood; steal stole stolen; "
    "stick stuck; sting stung; stink stank stunk; stride strode; strike struck; string strung; strive strove striven; "
    "swear swore sworn; sweep swept; swell swollen swelled; swim swam swum; swing swung; take took taken; teach "
    "taught; tear tore torn; tell told; think thought; throw threw thrown; understand understood; wake woke woken; "
    "wear wore worn; weave wove woven; weep wept; wet; win won; wind wound; wring wrung; write wrote written"
)
