/** An event of bench/clicks.avsc but for its id and time: a test names the members that it is about, the others are these. */
export const CLICK = {
  event_type: "view",
  user_id: "u",
  session_id: "s",
  page_url: "/",
  category: "c",
  brand: "b",
  price: 1,
  country: "DE",
} as const;
