export interface Gift {
  id: string;
  name: string;
}

export const topicOf = (listId: string) => `gift-list:${listId}`;

/** The key of the queries that show a list: hookwire-client/react-query finds them by it, from the topic `gift-list:ID`. */
export const keyOf = (listId: string) => ['gift-list', listId];
